"""Question-answer pairs made from documents: from their structure, and by a teacher model where one is set.

FAQ entries already are pairs; a heading with its text, or a row of a table, answers a question that names it, in the
forms of its language (`templates.py`). Only documents that everyone may read are used, since a model cannot keep what
it has learned from some of its users.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import BaseModel, Field, ValidationError

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.datasets.templates import (
    NEUTRAL,
    TEMPLATES,
    Templates,
    is_personal,
    language_of,
    main_language,
    running_text,
)
from inhouse.errors import BackendError
from inhouse.text.language import language
from inhouse.text.markdown import lines_with_code
from inhouse.text.numbers import digits
from inhouse.text.sentences import sentences as sentences_of
from inhouse.text.tables import REMARKS, row_sentence, tables
from inhouse.text.words import length_in_words, words
from inhouse.types import Document, Example, Message, Progress, Source, digest_of

MIN_WORDS, MAX_WORDS = 6, 70
MAX_ROWS_A_TABLE, MAX_CELL_WORDS, MAX_COLUMNS = 12, 12, 4
FOOTER_DOCUMENTS = 3
_ENDS = ".!?。！？؟"
TEACHER_CHARS = 3000
TEACHER_TOKENS = 700
TEACHER_AT_ONCE = 4
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_CLOSING = re.compile(r"[ \t]#+$")
_NUMBER = re.compile(r"(?:(?<![\d.])[\d.]++|[A-Z]\.|Q\d*+[:.]|第\d++[章节節条條][：:]?)\s++")
_BULLET = re.compile(r"^\s*(?:[-*•+・]|\d+[.)、])\s*(?=\D)")
_SENTENCE_END = re.compile(r"[。！？][」』”’）]*+|(?<![.!?؟])[.!?؟]++[\"')»”’]*+(?=\s|$)")
_ASKS = re.compile(
    r"^(?:what|how|when|where|who|why|which|can|could|do|does|did|is|are|am|will|would|should|may|has|have)\b",
    re.IGNORECASE,
)
_MARKS = re.compile(r"\*\*|__|`|!?\[([^\]]{0,300})\]\([^)]{0,1000}\)")
_SAYS_NOTHING = frozenset(
    """about appendix background contact contents details example examples faq faqs footnotes general information
    introduction introductions notes notice other overview reference references related reviews see also summary
    scope focus purpose table frequently asked questions document documents internal key points more""".split()  # noqa: SIM905
)
_VALUES = frozenset(
    """value values detail details amount description answer information wert werte angabe angaben betrag beschreibung
    valeur valeurs montant valor valores importe valore valori importo waarde bedrag wartość kwota värde belopp значение
    сумма 値 金額 内容 值 数值 金额 內容 金額 값 금액""".split()  # noqa: SIM905
)


class Made(NamedTuple):
    """Pairs, and how many sections with text got none because there are no question forms in their language."""

    pairs: list[Example]
    without_forms: Counter[str]


def from_documents(documents: Sequence[Document]) -> Made:
    """Pairs from FAQ entries, sections with headings, and table rows, in the order of the documents.

    Text that several documents share is a footer, which answers no question about any of them.
    """
    public = [d for d in documents if not d.access]
    usual = main_language(running_text(d.text) for d in public)
    pairs: list[Example] = []
    without_forms: Counter[str] = Counter()
    for document in public:
        around = language(running_text(document.text)) or usual
        for path, text in sections(document):
            code = language_of(text, around)
            forms = TEMPLATES.get(code, NEUTRAL)
            made = [*_from_text(document, path, text, forms), *_from_table(document, path, text, forms)]
            if code not in TEMPLATES and path and not made:
                without_forms[code or "unknown"] += 1
            pairs += made
    places = Counter(target for target, _ in {(e.target, e.sources[0].document) for e in pairs})
    return Made([e for e in pairs if places[e.target] < FOOTER_DOCUMENTS], +without_forms)


def sections(document: Document) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every heading path with the text directly below it, code as a line of "```"; () for text before the first one."""
    path: list[tuple[int, str]] = []
    below: list[str] = []
    for line, is_code in lines_with_code(document.text):
        mark = None if is_code else _HEADING.fullmatch(line)
        if mark is None:
            below.append("```" if is_code else line)
            continue
        if text := "\n".join(below).strip("\n").rstrip():
            yield tuple(title for _, title in path), text
        title = _MARKS.sub(r"\1", _CLOSING.sub("", mark[2].rstrip())).strip()
        path = [p for p in path if p[0] < len(mark[1])] + [(len(mark[1]), title)]
        below = []
    if text := "\n".join(below).strip("\n").rstrip():
        yield tuple(title for _, title in path), text


def _from_text(document: Document, path: Sequence[str], text: str, forms: Templates) -> Iterator[Example]:
    heading = _NUMBER.sub("", path[-1], count=1) if path and _NUMBER.match(path[-1]) else path[-1] if path else ""
    answer = _prose(text, forms)
    if not heading or not answer or is_personal(answer, forms):
        return
    size = length_in_words(answer)
    english = forms.inside
    if english and (how := re.match(r"how to (.+)", heading, re.IGNORECASE)):
        heading = f"How do I {_small(how[1])}?"
    asks = english and _ASKS.match(heading) and len(words(heading)) > 3 and len(path) > 1
    if heading.endswith(("?", "？", "؟", ";")) or asks:
        if size > 1:
            yield _pair(document, _about(document, heading, forms), answer)
    elif forms.section and MIN_WORDS <= size <= MAX_WORDS and not _says_nothing(heading, document, forms):
        question = _picked(forms.section, document.source + heading).format(_inside(heading, forms))
        yield _pair(document, _about(document, question, forms), answer)


def _says_nothing(heading: str, document: Document, forms: Templates) -> bool:
    own = set(words(heading))
    return heading.strip(" :.：。").casefold() in forms.dull or own <= _SAYS_NOTHING | set(words(document.title))


def _from_table(document: Document, path: Sequence[str], text: str, forms: Templates) -> Iterator[Example]:
    for table in tables(text) if forms.cell else ():
        if not 2 <= len(table.header) <= MAX_COLUMNS:
            continue
        count = max(table.keys, 1)
        for row in table.rows[:MAX_ROWS_A_TABLE]:
            name = ", ".join(_inside(_plain(c), forms) for c in row.cells[:count] if c)
            if not re.search(r"[^\W\d_]{2}", name) or length_in_words(name) > 10:
                continue
            for column, cell in zip(row.header[count:], row.cells[count:], strict=True):
                value = _inside(_plain(cell), forms)
                says = column.lower() not in REMARKS and 0 < length_in_words(value) <= MAX_CELL_WORDS
                if says and 1 <= length_in_words(column) <= 6:
                    named = {"column": _inside(_plain(column), forms), "row": name, "value": value}
                    if len(table.header) == 2 and column.lower() in _VALUES:
                        question, answer = forms.named, forms.is_value
                    else:
                        question, answer = _picked(forms.cell, document.source + name + column), forms.says
                    answer = answer.format(**named).rstrip(".。") + forms.stop
                    about = _about(document, question.format(**named), forms)
                    yield _pair(document, about, answer, row_sentence(row, table.keys))


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


def _about(document: Document, question: str, forms: Templates) -> str:
    """The question with its subject: below "Wire transfers", "How long does it take?" needs one."""
    first = document.title.split(":")[0].strip()
    title = (first if len(words(first)) > 1 else document.title).rstrip("?？")
    subject = {w for w in words(title) if len(w) > 3 or len(title) < 8} - _SAYS_NOTHING
    named = title.casefold() in question.casefold() or subject & set(words(question))
    if not subject or named or (forms.inside and _ASKS.match(title)):
        return question
    return _picked(forms.about, document.source + question).format(_inside(title, forms)) + question


def _prose(text: str, forms: Templates) -> str:
    """The paragraphs and lists of a section as whole sentences of running text; "" for tables, code and quotes."""
    lines = [line for line in text.splitlines() if line.strip()]
    if any(line.lstrip().startswith(("|", "```", ">", "<")) for line in lines):
        return ""
    parts = []
    for n, line in enumerate(lines):
        part = _plain(_BULLET.sub("", line))
        listed = bool(_BULLET.match(line)) or (n + 1 < len(lines) and bool(_BULLET.match(lines[n + 1])))
        parts.append(part if not listed or part.endswith(tuple(_ENDS + ":;,：；，、")) else part + forms.stop)
    text = ("" if forms.stop == "。" else " ").join(parts)
    end = size = 0
    for after in (*(m.end() for m in _SENTENCE_END.finditer(text)), len(text)):
        size += length_in_words(text[end:after])
        if size > MAX_WORDS:
            break
        end = after
    answer = text[:end].strip()
    return answer if not answer or answer[-1] in _ENDS + "\"')»”’」』" else answer.rstrip(":;, ：；，、") + forms.stop


def _plain(text: str) -> str:
    return " ".join(_MARKS.sub(r"\1", text).split())


def _inside(text: str, forms: Templates) -> str:
    return _small(text) if forms.inside else text


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
that is not in the text. Questions and answers are in the language of the text.
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
        if length_in_words(text) >= 3 * MIN_WORDS
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
