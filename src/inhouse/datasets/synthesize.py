"""Question-answer pairs made from documents: from their structure, and by a teacher model where one is set.

FAQ entries already are pairs; a heading with its text, or a row of a table, answers a question that names it. Only
documents that everyone may read are used, since a model cannot keep what it has learned from some of its users.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, Field, ValidationError

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.errors import BackendError
from inhouse.text.numbers import digits
from inhouse.text.sentences import SENTENCE_GAP
from inhouse.text.sentences import sentences as sentences_of
from inhouse.text.tables import REMARKS, row_sentence, tables
from inhouse.text.words import words
from inhouse.types import Document, Example, Message, Progress, Source, digest_of

MIN_WORDS, MAX_WORDS = 6, 70
MAX_ROWS_A_TABLE, MAX_CELL_WORDS, MAX_COLUMNS = 12, 12, 4
FOOTER_DOCUMENTS = 3
TEACHER_CHARS = 3000
TEACHER_TOKENS = 700
TEACHER_AT_ONCE = 4
_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*?)[ \t]*#*$", re.MULTILINE)
_BULLET = re.compile(r"^\s*(?:[-*•+]|\d+[.)])\s+")
_ASKS = re.compile(
    r"^(?:what|how|when|where|who|why|which|can|could|do|does|did|is|are|am|will|would|should|may|has|have)\b",
    re.IGNORECASE,
)
_MARKS = re.compile(r"\*\*|__|`|!?\[([^\]]*)\]\([^)]*\)")
_SAYS_NOTHING = frozenset(
    """about appendix background contact contents details example examples faq faqs footnotes general information
    introduction introductions notes notice other overview reference references related reviews see also summary
    scope focus purpose table frequently asked questions document documents internal key points more""".split()  # noqa: SIM905
)
_VALUES = frozenset(["value", "values", "detail", "details", "amount", "description", "answer", "information"])
_WHICH = ("I have a question about {}. ", "This is about {}. ", "I am asking about {}. ")
_SECTION = (
    "What should I know about {}?",
    "Can you tell me about {}?",
    "Please explain {}.",
    "I would like to know about {}.",
)
_CELL = ("What is the {column} for {row}?", "{row}: what is the {column}?", "Can you tell me the {column} for {row}?")


def from_documents(documents: Sequence[Document]) -> list[Example]:
    """Pairs from FAQ entries, sections with headings, and table rows, in the order of the documents.

    Text that several documents share is a footer, which answers no question about any of them.
    """
    pairs = [
        example
        for document in documents
        if not document.access
        for path, text in sections(document)
        for example in (*_from_text(document, path, text), *_from_table(document, path, text))
    ]
    places = Counter(target for target, _ in {(e.target, e.sources[0].document) for e in pairs})
    return [e for e in pairs if places[e.target] < FOOTER_DOCUMENTS]


def sections(document: Document) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every heading path with the text directly below it; () for text before the first heading."""
    marks = list(_HEADING.finditer(document.text))
    path: list[tuple[int, str]] = []
    start = 0
    for mark in [*marks, None]:
        text = document.text[start : mark.start() if mark else len(document.text)].strip()
        if text:
            yield tuple(title for _, title in path), text
        if mark:
            path = [p for p in path if p[0] < len(mark[1])] + [(len(mark[1]), _MARKS.sub(r"\1", mark[2]).strip())]
            start = mark.end()


def _from_text(document: Document, path: Sequence[str], text: str) -> Iterator[Example]:
    heading = re.sub(r"^(?:[\d.]+|[A-Z]\.|Q\d*[:.])\s+", "", path[-1]) if path else ""
    answer = _prose(text)
    if not heading or not answer:
        return
    size = len(words(answer))
    if re.search(r"\b(?:I|my)\b", answer):  # a customer's review, not a statement of the business
        return
    if how := re.match(r"how to (.+)", heading, re.IGNORECASE):
        heading = f"How do I {_small(how[1])}?"
    if heading.endswith("?") or (_ASKS.match(heading) and len(words(heading)) > 3 and len(path) > 1):
        if size > 1:
            yield _pair(document, _about(document, heading), answer)
    elif MIN_WORDS <= size <= MAX_WORDS and not set(words(heading)) <= _SAYS_NOTHING | set(words(document.title)):
        question = _picked(_SECTION, document.source + heading).format(_small(heading))
        yield _pair(document, _about(document, question), answer)


def _from_table(document: Document, path: Sequence[str], text: str) -> Iterator[Example]:
    for table in tables(text):
        if not 2 <= len(table.header) <= MAX_COLUMNS:
            continue
        count = max(table.keys, 1)
        for row in table.rows[:MAX_ROWS_A_TABLE]:
            name = ", ".join(_small(_plain(c)) for c in row.cells[:count] if c)
            if not re.search(r"[^\W\d_]{2}", name) or len(words(name)) > 10:
                continue
            for column, cell in zip(row.header[count:], row.cells[count:], strict=True):
                value = _small(_plain(cell))
                says = column.lower() not in REMARKS and 0 < len(words(value)) <= MAX_CELL_WORDS
                if says and 1 <= len(words(column)) <= 6:
                    named = {"column": _small(_plain(column)), "row": name}
                    if len(table.header) == 2 and column.lower() in _VALUES:
                        question, answer = f"What is the {name}?", f"The {name} is {value}"
                    else:
                        question = _picked(_CELL, document.source + name + column).format(**named)
                        answer = f"For {name}, the {named['column']} is {value}"
                    evidence = row_sentence(row, table.keys)
                    yield _pair(document, _about(document, question), answer.rstrip(".") + ".", evidence)


def _pair(document: Document, question: str, answer: str, evidence: str = "") -> Example:
    question = question[:1].upper() + question[1:]
    return Example(
        id="doc-" + digest_of([document.source, question, answer])[:12],
        messages=(Message(role="user", content=question),),
        target=answer,
        sources=(Source(document=document.source, text=evidence or (sentences_of(answer) or [answer])[0]),),
        group=document.source,
        origin="synthetic",
    )


def _about(document: Document, question: str) -> str:
    """The question with its subject: below "Wire transfers", "How long does it take?" needs one."""
    first = document.title.split(":")[0].strip()
    title = (first if len(words(first)) > 1 else document.title).rstrip("?")
    subject = {w for w in words(title) if len(w) > 3 or len(title) < 8} - _SAYS_NOTHING
    if not subject or _ASKS.match(title) or subject & set(words(question)):
        return question
    return _picked(_WHICH, document.source + question).format(_small(title)) + question


def _prose(text: str) -> str:
    """The paragraphs and lists of a section as whole sentences of running text; "" for tables, code and quotes."""
    lines = [line for line in text.splitlines() if line.strip()]
    if any(line.lstrip().startswith(("|", "```", ">", "<")) for line in lines):
        return ""
    parts = []
    for n, line in enumerate(lines):
        part = _plain(_BULLET.sub("", line))
        listed = bool(_BULLET.match(line)) or (n + 1 < len(lines) and bool(_BULLET.match(lines[n + 1])))
        parts.append(part if not listed or part.endswith((".", "!", "?", ":", ";", ",")) else part + ".")
    text = " ".join(parts)
    kept: list[str] = []
    for sentence in SENTENCE_GAP.split(text):
        if len(words(" ".join([*kept, sentence]))) > MAX_WORDS:
            break
        kept.append(sentence)
    answer = " ".join(kept)
    return answer if answer.endswith((".", "!", "?")) or not kept else answer.rstrip(":;, ") + "."


def _plain(text: str) -> str:
    return " ".join(_MARKS.sub(r"\1", text).split())


def _small(text: str) -> str:
    """As in the middle of a sentence: "Wire transfers" -> "wire transfers"; names and numbers do not change."""
    if text.isupper() and len(text.split()) > 1:
        text = text.title()
    first, _, rest = text.partition(" ")
    plain_word = first[:1].isupper() and first[1:].islower() and not re.search(r"\b[A-Z]", rest) and bool(rest or first)
    return text[:1].lower() + text[1:] if plain_word else text


def _picked(choices: Sequence[str], key: str) -> str:
    return choices[zlib.crc32(key.encode("utf-8", "replace")) % len(choices)]


# --- by a teacher -----------------------------------------------------------------------------------------------


class _Pair(BaseModel):
    question: str = Field(min_length=8)
    answer: str = Field(min_length=2)
    evidence: str = ""


class _Pairs(BaseModel):
    pairs: list[_Pair]


TEACHER_PROMPT = """Below is a part of the document "{title}". Write {n} questions that a customer could ask and that \
this text answers, each with its answer and the sentence of the text that it rests on, copied word for word. The \
question must name what it is about and must not mention the text. The answer has one or two sentences and no fact \
that is not in the text.
Reply with JSON only: {{"pairs": [{{"question": "...", "answer": "...", "evidence": "..."}}]}}

{text}"""


async def from_teacher(
    documents: Sequence[Document], teacher: ChatModel, n: int, progress: Progress
) -> tuple[list[Example], Counter[str]]:
    """`n` pairs per section written by `teacher`, and how many of its pairs were refused, by reason.

    Raises:
        BackendError: the teacher never answered.
    """
    parts = [
        (d, text[:TEACHER_CHARS])
        for d in documents
        if not d.access
        for _, text in sections(d)
        if len(words(text)) >= 3 * MIN_WORDS
    ]
    made: list[Example] = []
    refused: Counter[str] = Counter()
    failures: list[BackendError] = []
    gate = asyncio.Semaphore(TEACHER_AT_ONCE)
    with progress.step("asking the teacher for pairs", len(parts)) as step:

        async def ask(document: Document, text: str) -> list[Example]:
            prompt = TEACHER_PROMPT.format(title=document.title, n=n, text=text)
            request = ChatRequest(
                messages=(Message(role="user", content=prompt),),
                max_tokens=TEACHER_TOKENS,
                json_schema=_Pairs.model_json_schema(),
            )
            async with gate:
                try:
                    reply = await collect(teacher, request)
                except BackendError as error:
                    failures.append(error)
                    refused["the teacher did not answer"] += 1
                    return []
                finally:
                    step.advance()
            return _grounded(document, text, reply.text, n, refused)

        for pairs in await asyncio.gather(*(ask(d, t) for d, t in parts)):
            made += pairs
    if parts and len(failures) == len(parts):
        raise failures[0]
    return made, refused


def _grounded(document: Document, text: str, reply: str, n: int, refused: Counter[str]) -> list[Example]:
    start, end = reply.find("{"), reply.rfind("}") + 1
    try:
        pairs = _Pairs.model_validate(json.loads(reply[start:end] if start >= 0 else reply)).pairs[:n]
    except (ValueError, ValidationError):
        refused["not the requested JSON"] += 1
        return []
    made = []
    inside = set(words(text))
    for pair in pairs:
        answer = words(pair.answer)
        if not set(digits(pair.answer)) <= set(digits(text)):
            refused["a number that is not in the text"] += 1
        elif sum(w in inside for w in answer) < 0.6 * len(answer):
            refused["mostly words that are not in the text"] += 1
        elif re.search(r"\b(?:the|this) (?:text|passage|document|excerpt)\b", pair.question, re.IGNORECASE):
            refused["a question about the text itself"] += 1
        else:
            evidence = pair.evidence if pair.evidence and pair.evidence in text else ""
            made.append(_pair(document, pair.question.strip(), pair.answer.strip(), evidence))
    return made
