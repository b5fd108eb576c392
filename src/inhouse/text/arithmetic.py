"""Small calculations over the figures of a passage: exact, shown in full, and checkable by anyone who reads them.

==================== ===========================================================================================
in the passage       asked, and the answer
==================== ===========================================================================================
$3.15 for each       "for 12 employees": 12 × $3.15 = $37.80, plus a fixed "$26 a month plus" where there is one
employee
5 are free; each     "7 times": (7 - 5) × $3.25 = $6.50
additional $3.25
1.3% fee             "on $50,000": 1.3% × $50,000 = $650
$7.40 a month        "for a year": 12 × $7.40 = $88.80
==================== ===========================================================================================

A question that needs another calculation gets none: it is better handed to a person than answered with a figure that
the documents state for something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from inhouse.text.sentences import sentences
from inhouse.text.words import SMALL_NUMBERS, content_words, stem, words

NUMBER = r"\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,4})?|\d{1,9}(?:\.\d{1,4})?"
_AMOUNT = re.compile(rf"\$ ?({NUMBER})(?![\d,]*\d)")
_PERCENT = re.compile(rf"(?<![\d.])({NUMBER}) ?%")
_PLAIN = re.compile(rf"(?<![\w$.,-])\$?({NUMBER})(k\b)?(?![\w%:-]|[.,]\d)")
_UNIT_PRICE = re.compile(
    rf"\$ ?({NUMBER}) \(?(?:a|an|per|for each|for every|each|every) ([a-z]{{2,20}})", re.IGNORECASE
)
_MONTHLY = re.compile(rf"\bmonthly (?:fee|price|cost|charge)s? (?:is|of) \$ ?({NUMBER})", re.IGNORECASE)
_FIXED_PLUS = re.compile(rf"\$ ?({NUMBER})(?: a| per)?(?: [a-z]{{2,10}})? plus \$", re.IGNORECASE)
_ADDITIONAL = re.compile(rf"(?:additional|further|extra|after that)\D{{0,30}}?\$ ?({NUMBER})", re.IGNORECASE)
_FREE = re.compile(
    r"(?<![\w$.,-])(\d{1,6}) (?:[a-z]+ ){0,6}?(?:free|without a fee)|after (\d{1,6}) free", re.IGNORECASE
)
_CALCULATION = re.compile(rf"(?:\(?\$?(?:{NUMBER})%?\)? ?[-+×*/] ?)+\(?\$?(?:{NUMBER})%?\)? ?= ?\$?(?:{NUMBER})")
_ASKS = frozenset("much cost costs pay charge charged fee fees price total owe worth earn interest".split())  # noqa: SIM905
_YEARLY = frozenset("year years yearly annual annually".split())  # noqa: SIM905
_WHOLE = frozenset("total altogether overall".split())  # noqa: SIM905
_MONTHS = {"year": 12, "half": 6, "quarter": 3}
_CONDITION = re.compile(
    r"\b(?:above (?:that|this|it)|(?:first|second) (?:year|month|one)|from the \w+ (?:year|month)|except)\b",
    re.IGNORECASE,
)
_AGE = re.compile(r"\b[\w.]{1,12}[ -](?:minute|hour|day|week|month|year)s?[ -](?:ago|old)\b", re.IGNORECASE)
EARLIER_QUESTIONS = 3
BEST_PASSAGES = 2  # whose figures a calculation may use
FEW_WORDS = 8  # of a follow-up that only changes the quantity: "and for 3 hours?"
MOST_WORDS = 40  # of a question: a story with figures is no calculation


class Calculation(NamedTuple):
    """A calculation in words, "12 × $3.15 = $37.80", and the sentence of the passage whose figures it uses."""

    said: str
    sentence: str

    @property
    def text(self) -> str:
        return f"{self.said}. {self.sentence}"


def asks_to_calculate(question: str) -> bool:
    """Whether the question brings a figure, or a span of time, that a price or a rate is to be applied to."""
    own = words(question)
    if len(own) > MOST_WORDS or not _ASKS & set(own):
        return False
    spans = "year" in own and bool(set(own) & {"whole", "entire", "a", "yearly"}) and "much" in own and "that" in own
    return bool(quantities(question)) or bool(_WHOLE & set(own)) or spans


def quantities(question: str) -> list[tuple[Decimal, str]]:
    """The figures of a question with the stem of the word after each; amounts have "$". An age ("three months old",
    "two years ago") is none: nothing is multiplied by it."""
    question = _AGE.sub(" ", question)
    found = []
    for m in _PLAIN.finditer(question):
        after = re.match(r"[ -]*([A-Za-z]{2,20})", question[m.end() : m.end() + 30])
        dollars = "$" in m[0] or bool(after and after[1].lower() in ("dollar", "dollars", "usd", "bucks"))
        value = _value(m[1]) * (1000 if m[2] else 1)
        found.append((value, "$" if dollars else stem(after[1].lower()) if after else ""))
    own = words(question)
    for word, following in zip(own, [*own[1:], ""], strict=False):
        if (small := SMALL_NUMBERS.get(word)) and word != "one":
            found.append((Decimal(small), stem(following)))
    return found


def needs_calculation(questions: Sequence[str], passages: Sequence[str]) -> bool:
    """Whether the last of a user's questions brings a figure, or a span of time, that none of the passages has: the
    answer does not stand in them."""
    question = questions[-1]
    if _YEARLY & set(words(question)) and not any(_YEARLY & set(words(p)) for p in passages):
        return any(_MONTHLY.search(p) or _UNIT_PRICE.search(p) for p in passages)
    priced = any(_ASKS & set(words(q)) for q in questions[-1 - EARLIER_QUESTIONS : -1])
    counts = len(words(question)) <= FEW_WORDS and any(unit not in ("", "$") for _, unit in quantities(question))
    if not asks_to_calculate(question) and not (priced and counts):
        return False
    stated = {_value(m) for passage in passages for m in re.findall(NUMBER, passage)}
    given = [value for value, _ in quantities(question)]
    return not given or any(value not in stated for value in given)


def worked(questions: Sequence[str], passages: Sequence[str]) -> Calculation | None:
    """The calculation that the last of a user's questions asks for, over the first passage that allows one; None where
    none is known. `passages` come best first."""
    earlier = " ".join(questions[-1 - EARLIER_QUESTIONS : -1])
    made = (calculate(questions[-1], earlier, passage) for passage in passages[:BEST_PASSAGES])
    return next(filter(None, made), None)


def calculate(question: str, earlier: str, passage: str) -> Calculation | None:
    """The calculation that the question asks for over the passage's figures; None where none of the kinds above fits,
    more than one does, or the passage has conditions that a product does not see, such as a free first year.

    Args:
        question: the last one.
        earlier: what the conversation is about so far.
        passage: the text whose figures may be used.
    """
    if _CONDITION.search(passage):
        return None
    about = frozenset(content_words(f"{earlier} {question}"))
    given = quantities(question)
    found: dict[str, Calculation] = {}
    for sentence in sentences(passage):
        for said in _kinds(question, given, about, sentence):
            found.setdefault(said, Calculation(said, sentence))
    return next(iter(found.values())) if len(found) == 1 else None


def _kinds(question: str, given: Sequence[tuple[Decimal, str]], about: frozenset[str], sentence: str) -> Iterator[str]:
    free, more = _FREE.search(sentence), _ADDITIONAL.search(sentence) or (_AMOUNT.search(sentence) if given else None)
    counts = [value for value, unit in given if unit != "$"]
    if free and more and len(counts) == 1:
        over = counts[0] - Decimal(free[1] or free[2])
        price = _value(more[1])
        if over > 0:
            yield f"({_say(counts[0])} - {free[1] or free[2]}) × ${_money(price)} = ${_money(over * price)}"
        return
    prices = [(_value(m[1]), stem(m[2].lower())) for m in _UNIT_PRICE.finditer(sentence)]
    for price, unit in prices:
        for value, named in given:
            if named == unit:
                fixed = _FIXED_PLUS.search(sentence)
                base = _value(fixed[1]) if fixed else Decimal(0)
                plus = f"${_money(base)} + " if fixed else ""
                yield f"{plus}{_say(value)} × ${_money(price)} = ${_money(base + value * price)}"
    own = set(words(question))
    monthly = [price for price, unit in prices if unit == stem("month")]
    monthly += [_value(m) for m in _MONTHLY.findall(sentence)]
    if not given and len(monthly) == 1 and _YEARLY & own:
        yield f"{_MONTHS['year']} × ${_money(monthly[0])} = ${_money(12 * monthly[0])}"
    amounts = [value for value, unit in given if unit == "$" or value >= 1000]
    if len(amounts) == 1 and (percent := _percent(about, sentence)) is not None:
        result = percent * amounts[0] / 100
        yield f"{_say(percent)}% × ${_money(amounts[0])} = ${_money(result)}"


def _percent(about: frozenset[str], sentence: str) -> Decimal | None:
    """The percentage of the clause that has most of the conversation's words; None where two have as many."""
    clauses = [(c, m) for c in re.split(r"[;,:]| and ", sentence) if (m := _PERCENT.search(c))]
    scored = sorted(((len(about & frozenset(content_words(c))), _value(m[1])) for c, m in clauses), reverse=True)
    if not scored or (len(scored) > 1 and scored[0][0] == scored[1][0]):
        return None
    return scored[0][1]


def is_calculation(sentence: str, known: Sequence[str]) -> bool:
    """Whether the sentence is nothing but a calculation that is right, over figures that stand in the texts."""
    text = sentence.strip().rstrip(".")
    if not _CALCULATION.fullmatch(text):
        return False
    left, _, right = text.partition("=")
    figures = {_value(m) for t in known for m in re.findall(NUMBER, t)} | {v for t in known for v, _ in quantities(t)}
    if any(_value(m) not in figures and _value(m) != 12 for m in re.findall(NUMBER, left)):
        return False
    value = _evaluated(left)
    return value is not None and abs(value - _value(re.findall(NUMBER, right)[0])) <= Decimal("0.01")


def _evaluated(text: str) -> Decimal | None:
    """The value of sums and products of figures; brackets hold one difference."""
    text = re.sub(r"[$ ]", "", text).replace("*", "×")
    bracket = re.fullmatch(rf"\(({NUMBER})-({NUMBER})\)×({NUMBER})", text)
    if bracket:
        return (_value(bracket[1]) - _value(bracket[2])) * _value(bracket[3])
    if not re.fullmatch(rf"(?:(?:{NUMBER})%?[×+])*(?:{NUMBER})%?", text):
        return None
    total = Decimal(0)
    for product in text.split("+"):
        value = Decimal(1)
        for factor in product.split("×"):
            value *= _value(factor.rstrip("%")) / (100 if factor.endswith("%") else 1)
        total += value
    return total


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", ""))


def _money(value: Decimal) -> str:
    cents = value.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"{cents:,.0f}" if cents == cents.to_integral() else f"{cents:,.2f}"


def _say(value: Decimal) -> str:
    return f"{value.normalize():,f}"
