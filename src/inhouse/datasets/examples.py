"""From a whole conversation to examples: every reply that informs, with what was said before it.

Greetings, thanks, and goodbyes are no examples, neither the answers to them nor the replies that say nothing else: a
chat that ends with "Thanks!" would teach "You're welcome!" and nothing more. They stay in what was said before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from inhouse.privacy.anonymize import PLACEHOLDER
from inhouse.text.courtesy import is_polite
from inhouse.text.words import length_in_words
from inhouse.types import Example, Message, last_question

MOST_MESSAGES = 40  # of what was said before: prompts hold few, and a chat of days would be written once for each reply

WEIGHT = "its weight is 0"
COURTESY = "answers a greeting, thanks, or a goodbye"
COURTEOUS = "says nothing but a greeting, thanks, or a goodbye"
TOO_MANY = "one of the shorter replies of a long conversation"


class Courtesy(Protocol):
    def __call__(self, text: str, /) -> bool:
        """Whether a message is a greeting, thanks, a goodbye, or small talk and nothing else."""
        ...


def plainly_polite(text: str) -> bool:
    """A Courtesy that knows few phrases of customers, for where no other is given."""
    return is_polite(text)


class Cut(NamedTuple):
    """What a conversation gives: its examples, the last reply first, and the replies that are none, with the reason."""

    examples: list[Example]
    left_out: list[tuple[Example, str]]


def cut(conversation: Example, courtesy: Courtesy, most: int) -> Cut:
    """The examples of a conversation.

    They share its group. That of its last reply has its id, sources, and checks; the others have the number of their
    reply after the id.

    Args:
        conversation: with everything up to its last reply.
        courtesy: recognizes messages that need no answer from the documents.
        most: examples of one conversation; the replies with most words and the last one are taken. 0 for no limit.
    """
    examples: list[Example] = []
    left_out: list[tuple[Example, str]] = []
    replies = [n for n, m in enumerate(conversation.messages) if m.role == "assistant" and m.content]
    for number, at in enumerate([*replies, len(conversation.messages)], 1):
        example = _example(conversation, at, number)
        if example.messages[-1].role == "assistant" and not example.messages[-1].tool_calls:
            continue  # cannot happen in what `conversations` reads, but for a reply after one of another weight
        reason = _reason(conversation, example, at, courtesy)
        if reason:
            left_out.append((example, reason))
        else:
            examples.append(example)
    if most and len(examples) > most:
        longest = sorted(examples[:-1], key=lambda e: -length_in_words(e.target))[: most - 1]
        kept = {e.id for e in (*longest, examples[-1])}
        left_out += [(e, TOO_MANY) for e in examples if e.id not in kept]
        examples = [e for e in examples if e.id in kept]
    return Cut(examples[::-1], left_out)


def in_rounds(cuts: Iterable[Sequence[Example]]) -> Iterator[Example]:
    """The first example of each conversation, then the second of each, and so on: however many are used of the
    beginning, no long conversation has more of them than others need."""
    for one_each in itertools.zip_longest(*cuts):
        yield from filter(None, one_each)


def _example(conversation: Example, at: int, number: int) -> Example:
    """The conversation up to the reply at a position."""
    if at == len(conversation.messages):
        return conversation.model_copy(update={"context_only": (), "messages": _recent(conversation.messages)})
    return Example(
        id=f"{conversation.id}.{number}",
        messages=_recent(conversation.messages[:at]),
        target=conversation.messages[at].content,
        group=conversation.group,
        origin=conversation.origin,
        tags=conversation.tags,
        kind=conversation.kind,
        time=conversation.time,
    )


def _recent(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The latest messages, from one of the user's on; all where they are few or none of the late ones is a user's."""
    late = range(max(0, len(messages) - MOST_MESSAGES), len(messages))
    return tuple(messages[next((n for n in late if messages[n].role == "user"), 0) :])


def _reason(conversation: Example, example: Example, at: int, courtesy: Courtesy) -> str:
    """Why a reply is no example; empty if it is one."""
    if at in conversation.context_only:
        return WEIGHT
    asked = last_question(example.messages)
    rests_on_tool = any(m.role == "tool" for m in example.messages[asked:])
    if not rests_on_tool and courtesy(PLACEHOLDER.sub(" ", example.messages[asked].content)):
        return COURTESY
    return COURTEOUS if is_polite(PLACEHOLDER.sub(" ", example.target), courtesy) else ""
