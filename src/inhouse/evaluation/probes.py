"""Questions of the kinds that customers ask, made from the user's own tests and documents without a model.

Each is made only where it has one right answer: typos and capitals keep the names and numbers of a question, a table
is asked only for rows that differ in their names, and an attribute counts as missing only if no document that names
the subject has any of its words. Kinds with words of their own are made from documents and tests in English; small talk
and the wish for a person are said in the language of the documents.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from inhouse.text.language import language
from inhouse.text.language import languages as spoken_in
from inhouse.text.numbers import digits, says
from inhouse.text.tables import REMARKS, Table, tables
from inhouse.text.words import content_words, words
from inhouse.types import Checks, Document, Example, Message, digest_of

SHORTEST_MISSPELLED = 5  # letters of a word
SHORTEST_VALUE = 3  # characters of another question's value that would be wrong here; "2" may stand in any answer
COSTS = frozenset(["cost", "costs", "pay", "fee", "charge", "price"])
SMALL_TALK = {
    "en": ("Hi there!", "Good morning", "Thank you very much!", "Who are you?", "How are you today?",
           "ok thanks, bye", "Hola", "Guten Tag", "Merci beaucoup"),
    "de": ("Hallo!", "Guten Morgen", "Vielen Dank!", "Wer sind Sie?", "Wie geht es Ihnen?", "danke, tschüss"),
    "es": ("¡Hola!", "Buenos días", "¡Muchas gracias!", "¿Quién eres?", "¿Cómo estás?", "gracias, adiós"),
    "fr": ("Bonjour !", "Bonsoir", "Merci beaucoup !", "Qui êtes-vous ?", "Comment allez-vous ?", "merci, au revoir"),
    "it": ("Ciao!", "Buongiorno", "Grazie mille!", "Chi sei?", "Come stai?", "grazie, arrivederci"),
    "pt": ("Olá!", "Bom dia", "Muito obrigado!", "Quem é você?", "Tudo bem?", "obrigado, tchau"),
    "nl": ("Hallo!", "Goedemorgen", "Dank u wel!", "Wie bent u?", "Hoe gaat het?", "bedankt, tot ziens"),
    "pl": ("Cześć!", "Dzień dobry", "Dziękuję bardzo!", "Kim jesteś?", "Jak się masz?", "dziękuję, do widzenia"),
    "ja": ("こんにちは", "おはようございます", "ありがとうございます", "あなたは誰？", "お元気ですか？", "さようなら"),
    "zh": ("你好！", "早上好", "非常感谢！", "你是谁？", "你好吗？", "谢谢，再见"),
}  # fmt: skip
PERSON = {
    "en": ("I want to talk to a human", "Can I speak to a real person, please?", "Please transfer me to an agent.",
           "connect me with someone from your team", "Quiero hablar con una persona",
           "Ich möchte mit einem Mitarbeiter sprechen"),
    "de": ("Ich möchte mit einem Mitarbeiter sprechen", "Kann ich bitte mit einem Menschen sprechen?",
           "Verbinden Sie mich mit einem Mitarbeiter."),
    "es": ("Quiero hablar con una persona", "¿Puedo hablar con un agente, por favor?"),
    "fr": ("Je veux parler à une personne", "Puis-je parler à un conseiller, s'il vous plaît ?"),
    "it": ("Voglio parlare con una persona", "Posso parlare con un operatore, per favore?"),
    "pt": ("Quero falar com uma pessoa", "Posso falar com um atendente, por favor?"),
    "nl": ("Ik wil met een medewerker spreken", "Kan ik met een mens praten, alstublieft?"),
    "pl": ("Chcę porozmawiać z człowiekiem", "Czy mogę rozmawiać z konsultantem?"),
    "ja": ("オペレーターと話したいです", "担当者につないでください"),
    "zh": ("我要转人工", "请帮我转接人工客服"),
}  # fmt: skip
FOREIGN = {
    "de": "Was kostet das bei Ihnen?", "es": "¿Cuánto cuesta esto con ustedes?", "fr": "Combien est-ce que ça coûte ?",
    "it": "Quanto costa questo servizio?", "pt": "Quanto custa este serviço?", "nl": "Hoeveel kost dit bij jullie?",
    "pl": "Ile to u was kosztuje?", "tr": "Bu hizmetin ücreti ne kadar?", "en": "How much does this cost?",
}  # fmt: skip
ATTRIBUTES = ("color", "warranty period", "dress code", "parking fee", "discount for veterans", "fax number",
              "height requirement", "student discount in Canada", "insurance coverage")  # fmt: skip
YEAR = re.compile(r"\$(?P<amount>\d{1,6}(?:,\d{3})*(?:\.\d{1,2})?) (?:a|per) month\b")
KINDS = {
    "follow_up": "needs two test questions about one document's title, or a table with two rows",
    "typo": "needs test questions with checks",
    "case": "needs test questions with checks",
    "two_questions": "needs test questions with checks about two documents",
    "small_talk": "not written in the language of the documents",
    "person": "not written in the language of the documents",
    "language": "needs documents in a language that inhouse recognizes",
    "table": "needs a table whose rows differ in their names",
    "sibling": "needs a table with two rows, or two test questions about one document",
    "near_miss": "needs documents with a title",
    "arithmetic": "needs a test question whose answer is a monthly amount",
}
"""The kinds, and what the data must have to make them."""
ENGLISH = frozenset(["follow_up", "two_questions", "table", "sibling", "near_miss", "arithmetic"])
"""Kinds with English words."""


class Material(NamedTuple):
    """What probes are made from: test questions with checks that have an answer, and documents for everyone."""

    tests: Sequence[Example]
    documents: Sequence[Document]
    handoff: str
    languages: Collection[str]  # those that the assistant answers in
    language: str = "en"  # that most of the documents are in

    def in_english(self) -> Material:
        """What of it is in English; texts too short to tell are in the language of most."""

        def english(text: str) -> bool:
            return (language(text) or self.language) == "en"

        tests = [e for e in self.tests if english(e.question)]
        return self._replace(tests=tests, documents=[d for d in self.documents if english(d.text)])

    @property
    def tables(self) -> list[tuple[Document, Table]]:
        """Those whose rows have names that no other row of the documents has."""
        return [(d, t) for d in self.documents for t in tables(d.text) if t.keys and len(t.header) <= 4]


def make_probes(
    tests: Sequence[Example],
    documents: Sequence[Document],
    handoff: str,
    languages: Collection[str],
    most: int,
    seed: int,
    kinds: Collection[str] = (),
) -> tuple[list[Example], dict[str, str]]:
    """At most `most` questions of each kind, and the kinds that this data cannot make, with the reason.

    Kinds that the tests have already are not made again. With `kinds`, only those are made, and from questions that
    have a reference alone too.
    """
    if not most:
        return [], {}
    single = [e for e in tests if e.answerable and not e.turn and len(e.messages) == 1]
    answerable = [e for e in single if e.checks.must_include or kinds]
    public = [d for d in documents if not d.access]
    counts = spoken_in([*(d.text for d in public), *(e.question for e in answerable)])
    usual = max(counts, key=lambda code: (counts[code], code), default="en")
    material = Material(answerable, public, handoff, languages, usual)
    english = material.in_english()
    given = {e.kind for e in tests}
    made: list[Example] = []
    unmade: dict[str, str] = {}
    for kind, needs in KINDS.items():
        if kind in given or (kinds and kind not in kinds):
            continue
        suited = english if kind in ENGLISH else material
        drawn = list(MAKERS[kind](suited, random.Random(f"{seed}|{kind}")))  # noqa: S311  a draw, not a secret
        random.Random(f"{seed}|{kind}|order").shuffle(drawn)  # noqa: S311
        made += [turn for conversation in drawn[:most] for turn in _numbered(conversation, kind)]
        if not drawn:
            other = kind in ENGLISH and usual != "en"
            unmade[kind] = f"made for English alone; most documents are in {usual}" if other else needs
    return made, unmade


class Turn(NamedTuple):
    question: str
    checks: Checks
    answer: str


Conversation = Sequence[Turn]


def _numbered(conversation: Conversation, kind: str) -> list[Example]:
    """The turns as examples. Only the last one is of this kind; what leads to it is an ordinary question."""
    name = f"{kind}-{digest_of([t.question for t in conversation])[:10]}"
    messages: list[Message] = []
    examples = []
    for n, turn in enumerate(conversation, 1):
        messages.append(Message(role="user", content=turn.question))
        examples.append(
            Example(
                id=f"{name}.{n}", messages=tuple(messages), target=turn.answer, checks=turn.checks, group=name,
                answerable=turn.checks.answerable, origin="synthetic", turn=n if len(conversation) > 1 else 0,
                kind=kind if n == len(conversation) else "",
            )
        )  # fmt: skip
        messages.append(Message(role="assistant", content=turn.answer))
    return examples


# --- one maker per kind -----------------------------------------------------------------------------------------


def _typo(material: Material, rng: random.Random) -> Iterator[Conversation]:
    """Two letters within two long words swapped; not in names, and not in what the answer must include."""
    for e in material.tests:
        kept = {w for fact in e.checks.must_include for way in fact for w in words(way)}
        parts = e.question.split(" ")
        long = [
            n for n, part in enumerate(parts)
            if len(part) >= SHORTEST_MISSPELLED and part.isalpha() and part.islower() and part not in kept
        ]  # fmt: skip
        if long and not e.checks.json_schema:
            for n in rng.sample(long, min(2, len(long))):
                at = rng.randrange(1, len(parts[n]) - 2)
                parts[n] = parts[n][:at] + parts[n][at + 1] + parts[n][at] + parts[n][at + 2 :]
            if (question := " ".join(parts)) != e.question:
                yield [Turn(question, e.checks, e.target)]


def _case(material: Material, rng: random.Random) -> Iterator[Conversation]:
    for n, e in enumerate(material.tests):
        if not e.checks.json_schema:
            yield [Turn(e.question.upper() if n % 2 else e.question.lower().rstrip("?"), e.checks, e.target)]


def _two_questions(material: Material, rng: random.Random) -> Iterator[Conversation]:
    plain = [e for e in material.tests if e.sources and not e.checks.json_schema and e.checks.exact is None]
    rng.shuffle(plain)
    for a, b in zip(plain[::2], plain[1::2], strict=False):
        if a.sources[0].document != b.sources[0].document:
            checks = Checks(must_include=(*a.checks.must_include, *b.checks.must_include))
            yield [Turn(f"{a.question} And {_lowered(b.question)}", checks, f"{a.target} {b.target}")]


def _small_talk(material: Material, rng: random.Random) -> Iterator[Conversation]:
    for text in SMALL_TALK.get(material.language, ()):
        yield [Turn(text, Checks(small_talk=True), "")]


def _person(material: Material, rng: random.Random) -> Iterator[Conversation]:
    for text in PERSON.get(material.language, ()):
        yield [Turn(text, Checks(must_hand_off=True), material.handoff)]


def _language(material: Material, rng: random.Random) -> Iterator[Conversation]:
    """Questions in languages that the assistant does not answer in."""
    for name, text in FOREIGN.items() if material.languages else ():
        if name not in material.languages:
            yield [Turn(text, Checks(must_hand_off=True), material.handoff)]


def _table(material: Material, rng: random.Random) -> Iterator[Conversation]:
    for document, table in material.tables:
        for n in range(len(table.rows)):
            yield from ([turn] for turn in _lookups(document, table, n))


def _sibling(material: Material, rng: random.Random) -> Iterator[Conversation]:
    """A row of a table, where the value of the neighboring row is wrong; the same with questions about one document."""
    for document, table in material.tables:
        for n in range(len(table.rows)):
            for column, turn in enumerate(_lookups(document, table, n)):
                rows = [m for m in (n - 1, n + 1) if 0 <= m < len(table.rows)]
                others = [t for m in rows for t in _lookups(document, table, m)[column:][:1]]
                wrong = [_value(t) for t in others if not says(turn.answer, _value(t))]
                if wrong:
                    yield [turn._replace(checks=turn.checks.model_copy(update={"must_not_include": tuple(wrong)}))]
    for a, b in _neighbors(material.tests):
        values = [way for fact in b.checks.must_include for way in fact if digits(way) and len(way) >= SHORTEST_VALUE]
        wrong = [way for way in values if not says(a.target, way)]
        if wrong and not a.checks.json_schema:
            checks = a.checks.model_copy(update={"must_not_include": (*a.checks.must_not_include, *wrong)})
            yield [Turn(a.question, checks, a.target)]


def _follow_up(material: Material, rng: random.Random) -> Iterator[Conversation]:
    """The next row of a table with its name alone; a question about a document with "it" for the document's title."""
    for document, table in material.tables:
        for n in range(len(table.rows) - 1):
            first, second = _lookups(document, table, n)[:1], _lookups(document, table, n + 1)[:1]
            if first and second:
                yield [*first, second[0]._replace(question=f"and {_row_name(table, n + 1)}?")]
    titles = {d.source: d.title for d in material.documents}
    for a, b in _neighbors(material.tests):
        title = titles.get(a.sources[0].document, "")
        if len(title) > 3 and title in a.question and title in b.question:
            it = re.sub(rf"(?:\b[Tt]he )?{re.escape(title)}(?: [Cc]ard| [Aa]ccount)?", "it", b.question)
            yield [Turn(a.question, a.checks, a.target), Turn(it, b.checks, b.target)]


def _near_miss(material: Material, rng: random.Random) -> Iterator[Conversation]:
    """A known subject with an attribute of which no document that names it has a word."""
    for document in material.documents:
        subject = frozenset(content_words(document.title))
        if not subject or len(words(document.title)) > 5:
            continue
        texts = [frozenset(content_words(d.text)) for d in material.documents]
        near = frozenset().union(*(t for t in texts if subject & t))
        missing = [a for a in ATTRIBUTES if not near & frozenset(content_words(a))]
        if missing:
            question = f"What is the {rng.choice(missing)} of {document.title}?"
            yield [Turn(question, Checks(must_not_answer=True), material.handoff)]


def _arithmetic(material: Material, rng: random.Random) -> Iterator[Conversation]:
    """What an amount a month makes in a year. Handing off is right too."""
    for e in material.tests:
        amounts = YEAR.findall(e.target)
        ways = [way for fact in e.checks.must_include for way in fact]
        if len(amounts) == 1 and COSTS & set(words(e.question)) and any(says(way, amounts[0]) for way in ways):
            year = round(12 * float(amounts[0].replace(",", "")), 2)
            spelled = tuple(dict.fromkeys((f"{year:.2f}", f"{year:g}", f"{year:,.2f}")))
            checks = Checks(must_include=(spelled,), may_hand_off=True)
            asked = Turn("How much is that for a whole year?", checks, f"${spelled[0]}")
            yield [Turn(e.question, e.checks, e.target), asked]


MAKERS: dict[str, Callable[[Material, random.Random], Iterator[Conversation]]] = {
    "follow_up": _follow_up, "typo": _typo, "case": _case, "two_questions": _two_questions, "small_talk": _small_talk,
    "person": _person, "language": _language, "table": _table, "sibling": _sibling, "near_miss": _near_miss,
    "arithmetic": _arithmetic,
}  # fmt: skip


# --- what they share --------------------------------------------------------------------------------------------


def _lookups(document: Document, table: Table, n: int) -> list[Turn]:
    """A question for each value of a row that holds a number; short cells with one value only."""
    row, turns = table.rows[n], []
    for column, cell in list(zip(table.header, row.cells, strict=True))[table.keys :]:
        if column and column.lower() not in REMARKS and digits(cell) and len(words(cell)) <= 4:
            about = f"the {_lowered(column)} for {_row_name(table, n)}"
            checks = Checks(must_include=tuple((part.strip(".,;:()"),) for part in cell.split() if digits(part)))
            turns.append(Turn(f"What is {about}?", checks, f"{about[:1].upper()}{about[1:]} is {cell}."))
    return turns


def _row_name(table: Table, n: int) -> str:
    return ", ".join(_lowered(c) for c in table.rows[n].cells[: table.keys] if c)


def _value(turn: Turn) -> str:
    return turn.checks.must_include[0][0]


def _neighbors(tests: Sequence[Example]) -> Iterator[tuple[Example, Example]]:
    """Each test with the next one about the same document."""
    last: dict[str, Example] = {}
    for e in tests:
        if e.sources:
            if before := last.get(e.sources[0].document):
                yield before, e
            last[e.sources[0].document] = e


def _lowered(text: str) -> str:
    """With a small first letter, unless the first word is a name or all capitals."""
    first = text.split(" ", maxsplit=1)[0]
    return text[:1].lower() + text[1:] if first[1:].islower() else text
