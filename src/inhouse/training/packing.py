"""Texts for pre-training: cut, packed best-fit into sequences, and hidden from one another by a block-diagonal mask.

Best-fit decreasing as in "Fewer Truncations Improve Language Modeling" (Ding et al. 2024): the longest text first, into
the sequence with the least room that holds it. Every text begins with the separator of the model's own pre-training,
and its positions count from 0, so its loss in a pack is that of the text alone.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inhouse.training.data import Tokens
from inhouse.training.loss import WIDTH_TOKENS, AnswerLoss, micro

if TYPE_CHECKING:
    import torch

SEPARATOR = "<|endoftext|>"


@dataclass(frozen=True)
class Pack(Tokens):
    """Several texts as one sequence: `lengths` are those of the texts, in tokens. All tokens but the first of each text
    count for the loss; `bytes` is what these are in UTF-8."""

    lengths: tuple[int, ...] = ()
    bytes: int = 0


def separator_of(tokenizer: Any) -> int:
    """What stands before a text: the separator of pre-training if the vocabulary has one, else its start or end."""
    known = tokenizer.get_vocab()
    found = (known.get(SEPARATOR), tokenizer.bos_token_id, tokenizer.eos_token_id)
    return next((int(n) for n in found if n is not None), 0)


def pieces(text: str, tokenizer: Any, separator: int, most: int) -> list[Pack]:
    """The text as packs of its own, at most `most` tokens each; their bytes add up to those of the text.

    Bytes are counted where the tokenizer says which characters a token is (`return_offsets_mapping`).
    """
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(coded["input_ids"]), coded["offset_mapping"]
    made, begin = [], 0
    for at in range(0, len(ids), most - 1):
        part = ids[at : at + most - 1]
        after = at + len(part)
        end = len(text) if after >= len(ids) else max(begin, offsets[after][0])
        made.append(Pack([separator, *part], len(part), (len(part) + 1,), len(text[begin:end].encode())))
        begin = end
    return made


def pack(texts: Sequence[Pack], most: int) -> list[Pack]:
    """The texts in as few sequences of `most` tokens as best-fit decreasing needs; each is whole in one of them."""
    bins: list[list[Pack]] = []
    room: list[tuple[int, int]] = []  # what is left of each, ascending
    for text in sorted(texts, key=lambda t: -len(t.ids)):
        at = bisect.bisect_left(room, (len(text.ids), -1))
        if at == len(room):
            bins.append([text])
            left = (most - len(text.ids), len(bins) - 1)
        else:
            free, n = room.pop(at)
            bins[n].append(text)
            left = (free - len(text.ids), n)
        bisect.insort(room, left)
    return [joined(some) for some in bins]


def joined(texts: Sequence[Pack]) -> Pack:
    """The texts as one sequence."""
    return Pack(
        [n for t in texts for n in t.ids], sum(t.answer for t in texts),
        tuple(n for t in texts for n in t.lengths), sum(t.bytes for t in texts),
    )  # fmt: skip


class TextLoss(AnswerLoss):
    """Summed cross-entropy of every token of packed texts but the first of each."""

    def __init__(self, model: Any) -> None:
        super().__init__(model, "full")

    def _logits(self, rows: Sequence[Tokens], autocast: bool) -> tuple[Any, Any, Any]:
        import torch

        ids, positions, mask, places, labels = _padded(rows, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            hidden = self.body(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
            ).last_hidden_state
            logits = self.inner.get_output_embeddings()(hidden[places[0], places[1]])
        return logits.float(), labels, places[0]


def _padded(rows: Sequence[Tokens], device: Any) -> tuple[torch.Tensor, ...]:
    """Ids and positions (rows, tokens); mask (rows, 1, tokens, tokens), true where a token sees another: itself, and
    those before it in the same text; places (2, labels) before each label; labels."""
    import torch

    width = -(-max(len(r.ids) for r in rows) // WIDTH_TOKENS) * WIDTH_TOKENS
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    positions = torch.zeros_like(ids)
    owner = torch.full_like(ids, -1)
    places: list[tuple[int, int]] = []
    labels: list[int] = []
    for n, row in enumerate(rows):
        ids[n, : len(row.ids)] = torch.tensor(row.ids)
        begin = 0
        for number, length in enumerate(row.lengths if isinstance(row, Pack) else (len(row.ids),)):
            positions[n, begin : begin + length] = torch.arange(length)
            owner[n, begin : begin + length] = number
            places += [(n, at) for at in range(begin, begin + length - 1)]
            labels += row.ids[begin + 1 : begin + length]
            begin += length
    causal = torch.ones((width, width), dtype=torch.bool).tril()
    mask = (owner[:, :, None] == owner[:, None, :]) & causal
    made = (ids, positions, mask[:, None], torch.tensor(places).T, torch.tensor(labels))
    return tuple(t.to(device) for t in made)


def bits_per_byte(loss: TextLoss, packs: Sequence[Pack], autocast: bool = False) -> float:
    """The loss of all texts in bits, divided by their length in UTF-8: it compares models with different tokenizers."""
    import torch

    if not packs:
        return math.nan
    loss.model.eval()
    with torch.no_grad():
        nats = sum(float(loss(some, autocast)) for some in micro(packs))
    return nats / math.log(2) / max(sum(p.bytes for p in packs), 1)
