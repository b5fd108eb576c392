"""Rows as token ids: prompts through the model's own chat template, answers with their end-of-turn token as labels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inhouse.errors import InputError
from inhouse.training.rows import Row
from inhouse.types import Message

BUCKETS = 16  # batches come from stretches of this many, sorted by length: little padding, and still mostly random


@dataclass(frozen=True)
class Tokens:
    """A row as ids; the last `answer` of them count for the loss."""

    ids: list[int]
    answer: int


def encode(rows: Sequence[Row], tokenizer: Any, max_prompt_tokens: int) -> tuple[list[Tokens], int]:
    """Token ids of the rows that fit, and how many did not. A prompt that is too long loses passages, then history."""
    encoded, too_long = [], 0
    for row in rows:
        tokens = _encode(row, tokenizer, max_prompt_tokens)
        if tokens is None:
            too_long += 1
        else:
            encoded.append(tokens)
    return encoded, too_long


def prompt_ids(messages: Sequence[Message], tokenizer: Any) -> list[int]:
    """The ids of the prompt, up to where the answer starts."""
    text = tokenizer.apply_chat_template([m.to_openai() for m in messages], add_generation_prompt=True, tokenize=False)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _encode(row: Row, tokenizer: Any, max_prompt_tokens: int) -> Tokens | None:
    messages = list(row.messages)
    prompt = prompt_ids(messages, tokenizer)
    while len(prompt) > max_prompt_tokens:
        shorter = _shortened(messages)
        if shorter is None:
            return None
        messages = shorter
        prompt = prompt_ids(messages, tokenizer)
    turns = [m.to_openai() for m in messages]
    bare = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(
        [*turns, {"role": "assistant", "content": row.target}], add_generation_prompt=False, tokenize=False
    )
    if not whole.startswith(bare):
        hint = "use a model whose template renders the same prompt with and without an answer after it"
        raise InputError("the model's chat template changes the prompt when an answer follows", hint)
    answer = list(tokenizer(whole[len(bare) :].rstrip("\n"), add_special_tokens=False)["input_ids"])
    return Tokens([*prompt, *answer], len(answer))


def _shortened(messages: list[Message]) -> list[Message] | None:
    """The messages without the last passage, else without the oldest earlier turn; None when neither is left."""
    *earlier, last = messages
    body, mark, question = last.content.partition("\n\nQuestion: ")
    if mark and "\n[" in body:
        fewer = body[: body.rindex("\n[")]
        return [*earlier, last.model_copy(update={"content": f"{fewer}{mark}{question}"})]
    history = [n for n, m in enumerate(earlier) if m.role != "system"]
    if history:
        return [m for n, m in enumerate(messages) if n != history[0]]
    return None


def batches(rows: Sequence[Tokens], size: int, seed: int, epoch: int) -> list[list[int]]:
    """The position of every row once, in batches of similar length; the order depends only on seed and epoch."""
    rng = random.Random(f"{seed}|{epoch}")  # noqa: S311  an order, not a secret
    order = list(range(len(rows)))
    rng.shuffle(order)
    made: list[list[int]] = []
    for start in range(0, len(order), size * BUCKETS):
        stretch = sorted(order[start : start + size * BUCKETS], key=lambda n: len(rows[n].ids))
        made += [stretch[at : at + size] for at in range(0, len(stretch), size)]
    rng.shuffle(made)
    return made
