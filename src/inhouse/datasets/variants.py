"""More training examples, made from the existing ones in the ways that customers continue a conversation.

=============== ================================================================================================
follow-up       after a question and its answer, another one about the same document, without its subject: "and the
                late fee?", "how long does it take?"; in a table, the next row with its name alone
two questions   two questions about different documents in one message, answered in turn
near-miss       a question with the subject of a neighboring document; no document that names that subject has half
                of the question's words, or a figure of the kind that the answer has; the answer is the hand-off.
                The same after a question about that subject, and a further question that its document does not answer
=============== ================================================================================================

They are made in English alone, where a subject can become "it" and a question lose its question words by rule.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence

from inhouse.datasets.templates import main_language, running_text
from inhouse.text.language import language
from inhouse.text.numbers import numbers
from inhouse.text.sentences import sentences
from inhouse.text.words import STOP, content_words, without_greeting, words
from inhouse.types import Document, Example, Message, digest_of

FOLLOW_UPS, TWO_QUESTIONS, NEAR_MISSES = 0.3, 0.08, 0.1  # most of each, as shares of the examples
LONGEST_REST = 5  # words of "and ...?"
LONGEST_ANSWER = 30  # words of each of two answers
LEAST_COVERED = 0.7  # of an answer's content words, in the document that it is about
ENGLISH = frozenset(["en", ""])  # or not told by anything
_GO_ON = ("and {}?", "what about {}?", "and {}", "ok and {}?")
_FURTHER = (
    "is there a discount for seniors?", "who is in charge of that?", "does that work abroad?",
    "can a courier bring it?", "is that possible on weekends?", "what did it cost last year?",
    "can a friend do that for me?", "how many people use it?", "which other company does the same?",
    "is there a prize for that?",
)  # fmt: skip
_FREE = frozenset(["free", "fee", "fees", "cost", "costs", "charge", "nothing"])
_QUESTION_WORDS = frozenset(
    "what when where which who how why is are do does did can could may will would much many long".split()  # noqa: SIM905
)


def variants(examples: Sequence[Example], documents: Sequence[Document], handoff: str, seed: int) -> list[Example]:
    """Variants of the answerable single questions, drawn by the seed.

    Args:
        examples: of the training set.
        documents: those that everyone may read say what the questions are about.
        handoff: the answer to near-misses; without it there are none.
        seed: for the draws.
    """
    rng = random.Random(f"{seed}|variants")  # noqa: S311  a draw, not a secret
    public = [d for d in documents if not d.access]
    usual = main_language([*(e.question for e in examples), *(running_text(d.text) for d in public)])
    public = [d for d in public if (language(running_text(d.text)) or usual) in ENGLISH]
    titles = {d.source: d.title for d in public}
    single = [e for e in examples if e.answerable and len(e.messages) == 1 and not e.target.startswith(("{", "["))]
    single = [e for e in single if {language(t) or usual for t in (e.question, e.target)} <= ENGLISH]
    # Questions with placeholders of personal data add nothing.
    plain = [e for e in map(_bare, single) if e.question and "<" not in e.question]
    by_source = _by_source(plain, public)
    made: list[Example] = []
    for maker, share in ((_follow_ups, FOLLOW_UPS), (_two_questions, TWO_QUESTIONS)):
        made += _drawn(list(maker(by_source, titles, rng)), share * len(examples), rng)
    if handoff:
        near = [*_near_misses(by_source, public, handoff, rng), *_further(by_source, public, handoff, rng)]
        made += _drawn(near, NEAR_MISSES * len(examples), rng)
    return made


def _bare(example: Example) -> Example:
    """The example with the last sentence of its question, without a greeting."""
    question = without_greeting(sentences(example.question)[-1]) if example.question.strip() else ""
    return example.model_copy(update={"messages": (Message(role="user", content=question),)})


def _by_source(examples: Sequence[Example], documents: Sequence[Document]) -> dict[str, list[Example]]:
    """The examples by the document that they are about: the one they name, or the one with most words of the answer."""
    held = {d.source: frozenset(content_words(d.text)) for d in documents}
    by_source: dict[str, list[Example]] = {}
    for e in examples:
        source = e.sources[0].document if e.sources else _nearest(frozenset(content_words(e.target)), held)
        if source in held:
            by_source.setdefault(source, []).append(e)
    return by_source


def _nearest(wanted: frozenset[str], held: Mapping[str, frozenset[str]]) -> str:
    best = max(held, key=lambda source: (len(wanted & held[source]), -len(held[source])), default="")
    return best if best and wanted and len(wanted & held[best]) >= LEAST_COVERED * len(wanted) else ""


def _drawn(made: list[Example], most: float, rng: random.Random) -> list[Example]:
    return rng.sample(made, min(round(most), len(made)))


def _follow_ups(
    by_source: Mapping[str, Sequence[Example]], titles: Mapping[str, str], rng: random.Random
) -> Iterator[Example]:
    for source, own in by_source.items():
        order = rng.sample(list(own), len(own))
        for before, after in zip(order, [*order[1:], *order[:1]], strict=True):
            if before.target != after.target:
                for question in _without_subject(before.question, after.question, titles[source], rng):
                    yield _variant((before.question, before.target, question), after.target, after)


def _without_subject(before: str, after: str, title: str, rng: random.Random) -> Iterator[str]:
    """Ways to ask the second question after the first, with the subject left to the conversation."""
    subject = re.compile(rf"\b(?:(?:the|an?|your|my) )?{re.escape(title)}\b", re.IGNORECASE)
    named = bool(subject.search(after))
    if named and (it := subject.sub("it", after)) != after:
        yield it[:1].lower() + it[1:]
    known = frozenset(words(before)) | frozenset(words(title))
    rest = [w for w in after.rstrip("?.! ").split() if not set(words(w)) <= known | _QUESTION_WORDS]
    while rest and set(words(rest[0])) <= STOP:
        rest = rest[1:]
    while rest and set(words(rest[-1])) <= STOP:
        rest = rest[:-1]
    if 0 < len(rest) <= LONGEST_REST and content_words(" ".join(rest)):
        yield rng.choice(_GO_ON).format(" ".join(rest))
    elif not named and len(words(after)) <= LONGEST_REST + 3:
        yield after


def _two_questions(
    by_source: Mapping[str, Sequence[Example]], titles: Mapping[str, str], rng: random.Random
) -> Iterator[Example]:
    short = [(s, e) for s, own in by_source.items() for e in own if len(words(e.target)) <= LONGEST_ANSWER]
    rng.shuffle(short)
    for (one, a), (other, b) in zip(short[::2], short[1::2], strict=False):
        if one != other:
            second = b.question[:1].lower() + b.question[1:] if b.question[1:2].islower() else b.question
            question = f"{a.question.rstrip(' .')}{'' if a.question.endswith('?') else ','} and {second}"
            yield _variant((question,), f"{a.target} {b.target}", a, sources=(*a.sources, *b.sources))


def _near_misses(
    by_source: Mapping[str, Sequence[Example]], documents: Sequence[Document], handoff: str, rng: random.Random
) -> Iterator[Example]:
    """A question that names its document's title, with the title of another document of the same folder; the same after
    a question about that document, without its title."""
    held = {d.source: frozenset(content_words(f"{d.title} {d.text}")) for d in documents}
    kinds = {d.source: _kinds(d.text) for d in documents}
    titles = {d.source: d.title for d in documents}
    folders: dict[str, list[str]] = {}
    for source in titles:
        folders.setdefault(source.rpartition("/")[0], []).append(source)
    for source, own in by_source.items():
        title = titles[source]
        for n, e in enumerate(own):
            asked = frozenset(content_words(e.question)) - frozenset(content_words(title))
            named = re.compile(rf"\b{re.escape(title)}\b", re.IGNORECASE)
            if not named.search(e.question) or not asked:
                continue
            for other in folders[source.rpartition("/")[0]]:
                subject = frozenset(content_words(titles[other]))
                about = [s for s in held if subject <= held[s]]
                said = sum(any(w in held[s] for s in about) for w in asked)
                if other == source or not subject or 2 * said >= len(asked) or not _kinds(e.target):
                    continue
                if not any(_kinds(e.target) & kinds[s] for s in about):
                    name = titles[other].replace("\\", "")
                    question = re.sub(re.escape(title), name, e.question, flags=re.IGNORECASE)
                    changed = {"answerable": False, "sources": ()}
                    yield _variant((question,), handoff, e, **changed)
                    known = by_source.get(other, ())
                    for before in known[n % (len(known) or 1) :][:1]:
                        later = _without_subject(before.question, question, titles[other], rng)
                        yield from (_variant((before.question, before.target, q), handoff, e, **changed) for q in later)


def _further(
    by_source: Mapping[str, Sequence[Example]], documents: Sequence[Document], handoff: str, rng: random.Random
) -> Iterator[Example]:
    """After a question, a further one of whose words no document with that title has any."""
    held = {d.source: frozenset(content_words(f"{d.title} {d.text}")) for d in documents}
    titles = {d.source: frozenset(content_words(d.title)) for d in documents}
    for source, own in by_source.items():
        near = frozenset[str]().union(*(h for h in held.values() if titles[source] and titles[source] <= h))
        missing = [q for q in _FURTHER if not near & frozenset(content_words(q))]
        for e in own if missing else ():
            question = rng.choice(missing)
            yield _variant((e.question, e.target, question), handoff, e, answerable=False, sources=())


def _kinds(text: str) -> frozenset[str]:
    """The kinds of figures in a text: "$", "%", or the word after a number; "free" is an amount too."""
    costs = ["$"] if _FREE & frozenset(words(text)) else []
    return frozenset([*(n.unit or ("clock" if ":" in n.value else "") for n in numbers(text) if n.written), *costs])


def _variant(turns: Sequence[str], target: str, of: Example, **changed: object) -> Example:
    """An example with these turns, users and assistants in turn; `of` gives the rest."""
    roles = ("user", "assistant")
    messages = tuple(Message.model_validate({"role": roles[n % 2], "content": t}) for n, t in enumerate(turns))
    name = f"variant-{digest_of([*turns, target])[:12]}"
    values = {"id": name, "messages": messages, "target": target, "origin": "synthetic", **changed}
    return of.model_copy(update=values)
