"""The documents' text in other words, for continued pre-training: without a teacher by templates, or by a teacher.

A model learns a fact that it reads once in one wording badly, and learns it well in many ("Physics of Language Models:
Part 3.1", Allen-Zhu and Li 2023). The templates change what can be changed without a model: the order of statements,
the form (question, list, table row as a sentence), the pair of names or figures that a sentence connects, and the fact
that is masked. A teacher connects entities (after "Synthetic Continued Pretraining", Yang et al. 2024) and follows
study strategies (after "Active Reading", Lin et al. 2025).

Every statement of a rewrite must be supported by the section that it is made from; a rewrite with one that is not is
left out and counted. Only documents that everyone may read are used, since a model cannot keep what it has learned
from some of its users; and none that others may have written, since their text is learned as it is, with orders in it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.datasets.synthesize import sections
from inhouse.datasets.templates import NEUTRAL, TEMPLATES, Templates, language_of, main_language, running_text
from inhouse.errors import BackendError
from inhouse.text.claims import names
from inhouse.text.numbers import NUMBER
from inhouse.text.sentences import sentences
from inhouse.text.support import SUPPORTED
from inhouse.text.tables import row_sentence, tables
from inhouse.text.words import words
from inhouse.types import Document, Message, Progress, SupportScorer

MIN_WORDS = 4
MAX_CHARS = 2400  # of a section that is rewritten; a longer one is cut between sentences
BLANK = "____"
UNSUPPORTED, NOTHING_NEW = "with an unsupported statement", "that say nothing new"
REFERRING = frozenset("it its they their them this these that those he she his her such also however".split())  # noqa: SIM905
TEACHER_TOKENS, TEACHER_AT_ONCE = 700, 4
MOST_ENTITIES = 6
CONNECTING = """Below is a part of the document "{title}". Explain, in two or three paragraphs, how "{one}" and \
"{other}" are connected according to this text. State only what the text says, keep every figure and name exactly, and \
write in the language of the text. Reply with the explanation alone.

{text}"""
STRATEGIES = (
    "Explain it to a colleague who has to answer customers' questions about it.",
    "Write the questions that somebody could ask about it, each with its answer in a whole sentence.",
    "Sum it up as a list of whole sentences, one for each fact, in another order.",
    "Say it again in other words, with every figure, name, and condition.",
)
STUDYING = """Below is a part of the document "{title}". {strategy} State only what the text says, keep every \
figure and name exactly, and write in the language of the text. Reply with the text alone.

{text}"""


@dataclass(frozen=True)
class Part:
    """A section of a document: its title, its headings, its text, and the question forms of its language."""

    title: str
    path: tuple[str, ...]
    text: str
    forms: Templates

    @property
    def heading(self) -> str:
        return self.path[-1] if self.path else self.title

    @property
    def raw(self) -> str:
        """The section as the document has it, below its headings."""
        head = [self.title, *(p for p in self.path if p != self.title)]
        return "\n".join([*head, "", self.text])

    @property
    def evidence(self) -> list[str]:
        """What its rewrites must rest on."""
        rows = [row_sentence(r, t.keys, self.heading) for t in tables(self.text) for r in t.rows]
        return [self.raw, *rows]


def parts_of(documents: Sequence[Document]) -> list[Part]:
    """The sections of the trusted documents that everyone may read."""
    public = [d for d in documents if not d.access and d.trust != "external"]
    usual = main_language(running_text(d.text) for d in public)
    parts = []
    for document in public:
        for path, text in sections(document):
            if len(words(text)) >= MIN_WORDS or any(tables(text)):
                forms = TEMPLATES.get(language_of(text, usual), NEUTRAL)
                parts += [Part(document.title, path, piece, forms) for piece in _pieces(text)]
    return parts


def _pieces(text: str) -> Iterator[str]:
    """The text in stretches of whole lines."""
    piece: list[str] = []
    for line in text.splitlines():
        if piece and sum(map(len, piece)) + len(line) > MAX_CHARS:
            yield "\n".join(piece)
            piece = []
        piece.append(line)
    if any(line.strip() for line in piece):
        yield "\n".join(piece)


# --- by templates -----------------------------------------------------------------------------------------------


def rewrites(
    parts: Sequence[Part], count: int, support: SupportScorer, seed: int, progress: Progress
) -> tuple[list[list[str]], Counter[str]]:
    """Up to `count` different texts for each part, and how many were left out, by reason. Deterministic."""
    left_out: Counter[str] = Counter()
    made: list[list[str]] = []
    with progress.step("rewriting the documents", len(parts)) as step:
        for n, part in enumerate(parts):
            made.append(_rewritten(part, count, support, random.Random(f"{seed}|{n}"), left_out))  # noqa: S311
            step.advance()
    return made, left_out


def _rewritten(part: Part, count: int, support: SupportScorer, rng: random.Random, left_out: Counter[str]) -> list[str]:
    evidence, known = part.evidence, {part.raw}
    facts = _facts(part)
    usable = [f for f in facts if supported(f, evidence, support)]
    left_out["facts " + UNSUPPORTED] += len(facts) - len(usable)
    made: list[str] = []
    forms = rng.sample(FORMS, len(FORMS))
    for form in itertools.islice(itertools.cycle(forms), 2 * count):  # some forms have nothing to say on some parts
        if len(made) == count or not usable:
            break
        text = form(part, usable, rng)
        if not text or text in known:
            left_out["rewrites " + NOTHING_NEW] += 1
        elif not supported(text, evidence, support):
            left_out["rewrites " + UNSUPPORTED] += 1
        else:
            known.add(text)
            made.append(text)
    return made


def supported(text: str, evidence: Sequence[str], support: SupportScorer) -> bool:
    """Whether every statement of the text is supported."""
    return all(support.support(s, evidence) >= SUPPORTED for s in support.statements(text))


def _facts(part: Part) -> list[str]:
    """The sentences and table rows of a part, each as a sentence."""
    lines = [line for line in part.text.splitlines() if not line.lstrip().startswith(("|", "```", "<"))]
    prose = [s.strip() for line in lines for s in sentences(line.strip().lstrip("-*•+ ")) if len(words(s)) > 1]
    rows = [row_sentence(r, t.keys) for t in tables(part.text) for r in t.rows]
    return prose + rows


def _named(part: Part) -> str:
    """What a text is about: its heading, with the title where that is not in it."""
    title, heading = part.title, part.heading
    return heading if title.casefold() in heading.casefold() else f"{title}: {heading}"


def _question(part: Part, facts: Sequence[str], rng: random.Random) -> str:
    heading = part.heading
    if not heading.endswith(("?", "？", "؟")):
        heading = rng.choice(part.forms.section).format(heading) if part.forms.section else heading
    return f"{part.title}\n{heading}\n{' '.join(_ordered(part, facts, rng))}"


def _list(part: Part, facts: Sequence[str], rng: random.Random) -> str:
    return f"{_named(part)}\n" + "\n".join(f"- {f}" for f in _ordered(part, facts, rng))


def _running(part: Part, facts: Sequence[str], rng: random.Random) -> str:
    return f"{_named(part)}\n{' '.join(_ordered(part, facts, rng))}"


def _single(part: Part, facts: Sequence[str], rng: random.Random) -> str:
    """Some facts, each with what it is about."""
    some = rng.sample(list(facts), min(len(facts), rng.randint(1, 3)))
    return "\n".join(f"{_named(part)}\n{f}" for f in some)


def _pairs(part: Part, facts: Sequence[str], rng: random.Random) -> str:
    """Names and figures that one sentence connects, before the sentence: from one to the other, and back."""
    lines = []
    for fact in rng.sample(list(facts), len(facts)):
        found = entities(fact)
        if len(found) > 1:
            one, other = rng.sample(found, 2)
            lines.append(f"{one}, {other}?\n{fact}")
    return "\n".join([_named(part), *lines]) if lines else ""


def _masked(part: Part, facts: Sequence[str], rng: random.Random) -> str:
    """Facts with one entity left out, then the entity, then the fact whole."""
    lines = []
    for fact in rng.sample(list(facts), len(facts)):
        if found := entities(fact):
            hidden = rng.choice(found)
            gap = fact.replace(hidden, BLANK, 1).rstrip(".。")
            lines.append(f"{gap}?\n{hidden}\n{fact}")
    return "\n".join([_named(part), *lines]) if lines else ""


Form = Callable[[Part, Sequence[str], random.Random], str]
FORMS: tuple[Form, ...] = (_question, _list, _running, _single, _pairs, _masked)


def entities(sentence: str) -> list[str]:
    """Names and figures of a sentence, as it spells them, each once."""
    low = sentence.casefold()
    found = []
    if len(low) == len(sentence):
        places = [(low.find(n), len(n)) for n in names(sentence)]
        found = [sentence[at : at + size] for at, size in places if at >= 0]
    found += [(m["sign"] or "") + m["value"] + "%" * ((m["after"] or "").strip() == "%")
              for m in NUMBER.finditer(sentence)]  # fmt: skip
    own = [e for e in dict.fromkeys(found) if e in sentence]
    return [e for e in own if not any(e != other and e in other for other in own)]


def _ordered(part: Part, facts: Sequence[str], rng: random.Random) -> list[str]:
    """The facts in another order where each of them stands by itself. Whether a sentence refers to the one before is
    known for English alone."""
    first = [words(f)[:1] for f in facts]
    if not part.forms.inside or any(w and w[0] in REFERRING for w in first[1:]):
        return list(facts)
    return rng.sample(list(facts), len(facts))


# --- by a teacher -----------------------------------------------------------------------------------------------


def teacher_prompts(part: Part, count: int, rng: random.Random) -> list[str]:
    """`count` prompts about a part: study strategies and pairs of entities in turn."""
    found = list(dict.fromkeys(e for f in _facts(part) for e in entities(f)))[:MOST_ENTITIES]
    pairs = list(itertools.combinations(found, 2))
    rng.shuffle(pairs)
    text = part.raw
    connecting = [CONNECTING.format(title=part.title, one=a, other=b, text=text) for a, b in pairs]
    studying = [STUDYING.format(title=part.title, strategy=s, text=text) for s in STRATEGIES]
    mixed = [p for both in itertools.zip_longest(studying, connecting) for p in both if p]
    return list(itertools.islice(itertools.cycle(mixed), count))


async def from_teacher(
    parts: Sequence[Part], teacher: ChatModel, count: int, support: SupportScorer, seed: int, progress: Progress
) -> tuple[list[list[str]], Counter[str]]:
    """What a teacher writes on each part, without the statements that are not supported; and how many were left out.

    Raises:
        BackendError: the teacher never answered.
    """
    left_out: Counter[str] = Counter()
    failures: list[BackendError] = []
    gate = asyncio.Semaphore(TEACHER_AT_ONCE)
    asked = [(n, p) for n, part in enumerate(parts)
             for p in teacher_prompts(part, count, random.Random(f"{seed}|{n}"))]  # noqa: S311  # fmt: skip
    made: list[list[str]] = [[] for _ in parts]
    with progress.step("asking the teacher for rewrites", len(asked)) as step:

        async def ask(prompt: str) -> str:
            request = ChatRequest(messages=(Message(role="user", content=prompt),), max_tokens=TEACHER_TOKENS)
            async with gate:
                try:
                    return (await collect(teacher, request)).text
                except BackendError as error:
                    failures.append(error)
                    left_out["prompts that the teacher did not answer"] += 1
                    return ""
                finally:
                    step.advance()

        replies = await asyncio.gather(*(ask(p) for _, p in asked))
    if asked and len(failures) == len(asked):
        raise failures[0]
    for (n, _), reply in zip(asked, replies, strict=True):
        kept, dropped = _supported_lines(reply, parts[n], support)
        left_out["statements of the teacher that are not supported"] += dropped
        if kept and kept not in made[n]:
            made[n].append(kept)
    return made, left_out


def _supported_lines(reply: str, part: Part, support: SupportScorer) -> tuple[str, int]:
    """The reply without its unsupported sentences, below what it is about; "" if nothing is left."""
    evidence, lines, dropped, claims = part.evidence, [], 0, 0
    for line in reply.splitlines():
        kept = []
        for sentence in sentences(line) or ([line] if line.strip() else []):
            stated = support.statements(sentence)
            fine = all(support.support(s, evidence) >= SUPPORTED for s in stated)
            claims += bool(stated) and fine
            dropped += not fine
            kept += [sentence] if fine else []
        if kept:
            lines.append(" ".join(kept))
    return ("\n".join([_named(part), *lines]) if claims else ""), dropped
