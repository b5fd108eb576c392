"""Fills a JSON schema with values that stand in the evidence, or says what is missing.

Nothing is generated: every number, time, and phrase is a span of what the assistant answered, of the passages that it
cites, or of the question. Where several values are equally likely there is none, because a wrong one is worse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from inhouse.agents import evidence as ev
from inhouse.agents.evidence import Evidence, Value
from inhouse.agents.keywords import DEEPEST, Schema, fits, resolved, types_of
from inhouse.agents.names import CERTAINTY, GENERIC, PERMISSION, PRICES, Asked, asked_by, normal
from inhouse.agents.phrases import polarity, subject
from inhouse.text.numbers import asked_kinds
from inhouse.text.words import STOP, stem, words
from inhouse.types import Json

MARGIN = 0.15  # by which the best value must be more relevant than another one
LIKENESS_MARGIN = 0.05  # the same, for the likeness of meaning of the values of an enum
_SEARCHES = frozenset("query question search q prompt input keywords".split())  # noqa: SIM905
RATES = frozenset("rate rates interest pay pays".split())  # noqa: SIM905
BOUNDS = frozenset("balance balances minimum maximum min max limit limits least most".split())  # noqa: SIM905
_MAY = re.compile(r"\b(?:can|could|may|might|allow|allowed|permitted|possible|eligible|able)\b", re.IGNORECASE)
_COUNTS = re.compile(r"\bhow many\b", re.IGNORECASE)
_LOW = frozenset("min minimum from least earliest start opens open opening low lower".split())  # noqa: SIM905
_HIGH = frozenset("max maximum to most latest end closes close closing high upper until".split())  # noqa: SIM905
MOST_ITEMS = 50  # of an array
Alike = Callable[[str, Sequence[str]], Sequence[float]]


class MissingError(Exception):
    """A value that the evidence does not hold; `path` is the field."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        self.path = path


class Filler:
    """Fills one schema from one evidence.

    Args:
        root: the schema.
        evidence: what values may come from.
        alike: the likeness of a text with others, for enums; without it their words alone count.
    """

    def __init__(self, root: Schema, evidence: Evidence, alike: Alike | None = None) -> None:
        self._root, self._evidence, self._alike = root, evidence, alike
        self._used: dict[tuple[str, int], None] = {}  # numbers that a field has: text, start
        self._apart = False  # whether a field of yes or no stands beside others, and so has to be named in the question
        self.quoted: dict[str, None] = {}  # sentences of passages that values come from

    def fill(self) -> Json:
        """The value.

        Raises:
            MissingError: a part that the schema requires is not in the evidence.
        """
        value = self._any(self._root, "", "", 0)
        if not fits(value, self._root):
            raise MissingError("", "what the documents say does not match the schema")
        return value

    def _any(self, schema: Json, name: str, path: str, depth: int) -> Json:
        if depth > DEEPEST:
            raise MissingError(path, "nested too deeply")
        schema = resolved(schema, self._root)
        if "const" in schema:
            return schema["const"]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._first(
                    [{**_outer(schema, key), **resolved(s, self._root)} for s in schema[key]], name, path, depth
                )
        kinds = types_of(schema)
        if "enum" in schema:
            return self._enum(schema, name, path)
        if len(kinds) > 1:
            return self._first([{**schema, "type": kind} for kind in kinds], name, path, depth)
        match kinds[0] if kinds else "":
            case "object":
                return self._object(schema, path, depth)
            case "array":
                return self._array(schema, name, path, depth)
            case "null":
                return None
            case "boolean":
                return self._boolean(schema, name, path)
            case "integer" | "number":
                return self._number(schema, name, path, kinds[0] == "integer")
        return self._string(schema, name, path)

    def _first(self, options: Sequence[Schema], name: str, path: str, depth: int) -> Json:
        """The first option that can be filled; null only where no other can."""
        missing = MissingError(path, "not in the documents")
        ordered = sorted(options, key=lambda s: types_of(s) == ["null"])
        numbers_first = sorted(ordered, key=lambda s: types_of(s) == ["string"]) if len(ordered) > 1 else ordered
        for option in sorted(numbers_first, key=lambda s: types_of(s) == ["null"]):
            used = dict(self._used)
            try:
                return self._any(option, name, path, depth + 1)
            except MissingError as error:
                self._used, missing = used, error
        raise missing

    def _object(self, schema: Schema, path: str, depth: int) -> Json:
        required, value = set(schema.get("required", ())), {}
        parts = schema.get("properties", {})
        self._apart = sum(types_of(resolved(part, self._root)) == ["boolean"] for part in parts.values()) > 1
        for name in sorted(parts, key=lambda n: (n not in required, *self._turn(n, parts[n]))):
            part = parts[name]
            below = f"{path}.{name}".lstrip(".")
            try:
                value[name] = self._any(part, name, below, depth + 1)
            except MissingError:
                known = resolved(part, self._root)
                if name in required and "default" not in known:
                    raise
                if name in required:
                    value[name] = known["default"]
        if missing := [name for name in required if name not in value]:
            raise MissingError(f"{path}.{missing[0]}".lstrip("."), "the schema does not say what it is")
        return {name: value[name] for name in parts if name in value}

    def _turn(self, name: str, part: Json) -> tuple[bool, bool]:
        """When the field chooses: those that say which value they mean come before others, and how often something is
        meant comes last, after what it is said of."""
        part = resolved(part, self._root)
        asked = asked_by(name, part.get("description", ""))
        often = bool(ev.periods([str(v) for v in part.get("enum", ())]))
        return often, not (asked.unit or asked.kind or part.keys() & {"enum", "pattern", "format"})

    def _array(self, schema: Schema, name: str, path: str, depth: int) -> Json:
        if "prefixItems" in schema:
            return [self._any(s, name, f"{path}.{n}", depth + 1) for n, s in enumerate(schema["prefixItems"])]
        items = resolved(schema.get("items", {}), self._root)
        asked = asked_by(name, schema.get("description", ""))
        if types_of(items) == ["string"] and asked.cites and self._evidence.sources:
            found: list[Json] = list(self._evidence.sources)
        elif types_of(items) in (["object"], ["array"]) or "anyOf" in items:
            found = list(self._each(items, name, path, depth))
        elif types_of(items) in (["number"], ["integer"]):
            free = [v for v in self._numbers(asked, self._evidence.answer) if (v.text, v.start) not in self._used]
            found = [_plain(v.value, types_of(items) == ["integer"]) for v in free]
        else:
            found = list(self._strings_of(items, asked))
        found = [
            v
            for n, v in enumerate(found)
            if v not in found[:n] and fits(v, {**items, "$defs": self._root.get("$defs", {})})
        ]
        if len(found) < max(schema.get("minItems", 0), 1 if depth <= 1 else 0):
            raise MissingError(path, "no items are in the documents")
        return found[: min(schema.get("maxItems", MOST_ITEMS), MOST_ITEMS)]

    def _each(self, items: Schema, name: str, path: str, depth: int) -> Iterator[Json]:
        """An item for each clause or row of the answer that has all it needs."""
        for piece in ev.pieces(self._evidence.answer)[:MOST_ITEMS]:
            part = replace(self._evidence, answer=piece, more=(), about=piece)
            try:
                yield Filler(self._root, part, self._alike)._any(items, name, path, depth + 1)
            except MissingError:
                continue

    def _strings_of(self, items: Schema, asked: Asked) -> Iterator[Json]:
        answer = self._evidence.answer
        if "enum" in items:
            said = [ev.named_in(piece) for piece in ev.affirmed(answer)]
            yield from (v for v in items["enum"] if isinstance(v, str) and any(ev.named_in(v) <= s for s in said))
            return
        typed = list(self._typed(asked, items, answer))
        yield from (v.text for v in typed) if typed else ev.enumerated(answer) or [answer]

    # --- leaves ---------------------------------------------------------------------------------------------------

    def _enum(self, schema: Schema, name: str, path: str) -> Json:
        options = [v for v in schema["enum"] if v is not None]
        if not options:
            if None in schema["enum"]:
                return None
            raise MissingError(path, "no value is allowed")
        if len(options) == 1:
            return options[0]
        texts = [str(v) for v in options]
        yes = next((v for v in options if str(v).casefold() in ("yes", "true")), None)
        no = next((v for v in options if str(v).casefold() in ("no", "false")), None)
        if yes is not None and no is not None and not self._evidence.spoken:
            return yes if self._boolean(schema, name, path) else no
        if "unit" not in asked_by(name).words and (units := ev.periods(texts)):
            return options[self._period(units, path)]
        named = ev.best_named(texts, self._evidence)
        if len(named) == 2 and self._evidence.spoken:
            named = self._directed(texts, named, asked_by(name))
        best = named[0] if len(named) == 1 else None
        if not named and self._alike and not self._evidence.spoken:
            said = f"{self._evidence.question} {self._evidence.answer}"
            likeness = self._alike(said, [t.replace("_", " ") for t in texts])
            first, second = sorted(range(len(texts)), key=lambda n: -likeness[n])[:2]
            best = first if likeness[first] - likeness[second] >= LIKENESS_MARGIN else None
        if best is None:
            raise MissingError(path, "the answer fits none of the values, or several")
        return options[best]

    def _period(self, units: dict[str, int], path: str) -> int:
        """The option for how often the number that was found last is meant or, where there is none, the answer."""
        clause = self._evidence.answer
        if self._used:
            said, start = next(reversed(self._used))
            source = next((t for t in self._evidence.texts if t.startswith(said, start)), "")
            clause = ev.clause_around(source, start, start + len(said))
        found = ev.frequencies(clause) or ev.frequencies(self._evidence.question)
        if len(found) != 1 or not found <= units.keys():
            raise MissingError(path, "the answer does not say how often, or it is none of the values")
        return units[next(iter(found))]

    def _directed(self, texts: Sequence[str], named: Sequence[int], asked: Asked) -> list[int]:
        """Of two values, the one that something comes from or goes to: "100 USD into EUR"."""
        tail = ev.named_in(re.split(r"\b(?:into|to)\b", self._evidence.question)[-1])
        goal = [n for n in named if ev.named_in(texts[n]) <= tail]
        if len(goal) != 1 or not asked.direction:
            return []
        return goal if asked.direction == "to" else [n for n in named if n not in goal]

    def _boolean(self, schema: Schema, name: str, path: str) -> bool:
        if self._evidence.spoken:
            raise MissingError(path, "not said")
        asked, question = asked_by(name, schema.get("description", "")), self._evidence.question
        priced = asked_kinds(question) & {"$", "%"}
        if not PERMISSION.isdisjoint(asked.words) and priced and not _MAY.search(question):
            raise MissingError(path, "the question is about a price or a rate")
        if (self._apart or asked.unit) and not self._is_asked(asked):
            if ev.has_phrase(asked.words, self._evidence.answer):
                return True
            raise MissingError(path, "neither the question nor the answer is about it")
        says = polarity(question, self._evidence.answer, asked)
        if says is None:
            raise MissingError(path, "the answer says neither yes nor no")
        return says

    def _is_asked(self, asked: Asked) -> bool:
        """Whether the question has a word of the field, where the field has one that tells it from others."""
        said = frozenset(normal(stem(w)) for w in asked.words) - GENERIC
        wanted = said - {stem(w) for w in (*PERMISSION, *STOP, "yes", "answer")}
        return not wanted or not wanted.isdisjoint(self._evidence.asked)

    def _number(self, schema: Schema, name: str, path: str, whole: bool) -> Json:
        asked = asked_by(name, schema.get("description", ""))
        if not CERTAINTY.isdisjoint(asked.words) and self._evidence.certainty is not None:
            return round(self._evidence.certainty, 3)
        for at, text in enumerate(self._evidence.texts):
            free = [v for v in self._numbers(asked, text) if (v.text, v.start) not in self._used]
            found = [v for v in free if self._is_meant(v, text, asked, path)]
            allowed = {k: w for k, w in schema.items() if k != "$ref"}
            counts = [v for v in found if v.unit not in ("$", "€", "£", "%") and fits(_plain(v.value, whole), allowed)]
            # the best of all values, not of those that fit: $21.50 is not $8 because cents are not allowed
            if chosen := self._best(found, text, asked) or self._best(counts, text, asked):
                value = _plain(_scaled(chosen, asked, schema), whole)
                if not fits(value, allowed):
                    raise MissingError(path, f"{chosen.text} does not match the schema")
                self._used[chosen.text, chosen.start] = None
                self._quote(at, text, chosen)
                return value
            if found:
                raise MissingError(path, "the answer holds several values for it")
        raise MissingError(path, "no such number is in the answer")

    def _is_meant(self, value: Value, text: str, asked: Asked, path: str) -> bool:
        """Whether a value may be what the question asks for: not a condition of a price, and of another kind than asked
        for only where it is said of the same."""
        question = frozenset(words(self._evidence.question))
        kinds = asked_kinds(self._evidence.question)
        kind = value.unit if value.unit in "$%" else "time" if value.unit in ev.SPANS else ""
        other = bool(kind and kinds and kind not in kinds)
        close = ev.near(value, text)
        if not asked.wanted.isdisjoint(close):
            return True
        priced = not PRICES.isdisjoint(asked_by(path).words) or not (PRICES | RATES).isdisjoint(question)
        if (
            kind == "$"
            and (other or priced)
            and BOUNDS.isdisjoint({*question, *asked.words})
            and ev.is_bound(value, text)
        ):
            return False
        if kind == "$" and value.value == 0:  # "overdrafts below $9 are free"
            clause = ev.clause_around(text, value.start, value.end)
            if any(ev.is_bound(v, clause) for v in ev.numbers_in(clause)):
                return False
        return not other or not (self._evidence.asked - GENERIC).isdisjoint(close)

    def _numbers(self, asked: Asked, text: str) -> list[Value]:
        """The numbers of the unit that the field asks for or, where it says none, the question."""
        found = [*ev.numbers_in(text), *ev.nothing_in(text)]
        if asked.unit:
            same = [v for v in found if v.unit == asked.unit]
            rival = [v for v in found if {v.unit, asked.unit} == {"%", "$"}]
            if same and rival and all(v.value == 0 for v in same):
                return []  # "free, or 4 %": which of them it is, is not clear
            return same
        if _COUNTS.search(self._evidence.question) and not asked.money:
            return [v for v in found if v.unit not in ("$", "€", "£", "%")]
        kinds = {"$"} if asked.money else asked_kinds(self._evidence.question)
        if preferred := [v for v in found if v.unit in kinds and v.unit in "$%"]:
            return preferred
        if "time" in kinds and (spans := [v for v in found if v.unit in ev.SPANS]):
            return spans
        return [v for v in found if v.unit not in ("$", "%") or not asked.money]

    def _best(self, values: Sequence[Value], text: str, asked: Asked) -> Value | None:
        """The value that stands nearest to the words of the field and of the question; None if that is not clear."""
        if len({v.value for v in values}) <= 1:
            return values[0] if values else None
        wanted, asks = asked.wanted, self._evidence.asked
        scored = sorted(((ev.relevance(v, text, wanted, asks), -n, v) for n, v in enumerate(values)), reverse=True)
        first, rest = scored[0], [s for s in scored[1:] if s[2].value != scored[0][2].value]
        bounds = [v for v in values if v.range >= 0 and v.range == first[2].range]
        if len(bounds) == 2 and len({v.value for v in values}) == 2:
            low, high = not _LOW.isdisjoint(asked.words), not _HIGH.isdisjoint(asked.words)
            return None if low == high else bounds[0] if low else bounds[1]
        clear = first[0] - rest[0][0] >= MARGIN and not any(self._is_rival(s[2], first[2], text, asked) for s in rest)
        return first[2] if clear else None

    def _is_rival(self, one: Value, other: Value, text: str, asked: Asked) -> bool:
        """Whether the question asks for both, and the field does not say which: they make up one amount, or each is
        said of something in the question that the other is not said of."""
        if not asked.wanted.isdisjoint(ev.near(one, text) ^ ev.near(other, text)):
            return False
        if ev.is_added(one, other, text):
            return True
        target = self._evidence.asked - GENERIC
        here, there = ev.near(one, text) & target, ev.near(other, text) & target
        return ev.are_both_asked(here - there, there - here, self._evidence.question)

    def _string(self, schema: Schema, name: str, path: str) -> str:
        asked = asked_by(name, schema.get("description", "") or schema.get("title", ""))
        text = {k: v for k, v in schema.items() if k in ("type", "pattern", "minLength", "maxLength", "format")}
        for at, source in enumerate(self._evidence.texts):
            found = [v for v in self._typed(asked, schema, source) if fits(v.value, text)]
            if chosen := self._best(found, source, asked):
                self._quote(at, source, chosen)
                return str(chosen.value)
            if found:
                raise MissingError(path, "the answer holds several values for it")
        for candidate in self._phrases(asked, schema):
            if candidate and fits(candidate, text):
                return candidate
        raise MissingError(path, "no such text is in the answer")

    def _quote(self, at: int, text: str, value: Value) -> None:
        if at:  # the answer itself was checked
            self.quoted[ev.sentence_around(text, value)] = None

    def _typed(self, asked: Asked, schema: Schema, text: str) -> Iterable[Value]:
        """Values of a form that can be recognized, such as times."""
        kind = {"date": "date", "time": "time", "email": "email", "uri": "url"}.get(
            schema.get("format", ""), asked.kind
        )
        if pattern := schema.get("pattern"):
            formed = [v for v in (*ev.times_in(text), *ev.dates_in(text)) if ev.is_form(pattern, str(v.value))]
            return formed or ev.words_matching(pattern, text)
        finders: dict[str, Callable[[str], Iterable[Value]]] = {
            "date": ev.dates_in,
            "time": ev.times_in if schema.get("format") == "time" else ev.times_as_written,
            "email": lambda t: ev.matches_in(ev.EMAIL, t),
            "url": lambda t: ev.matches_in(ev.URL, t),
            "phone": lambda t: ev.matches_in(ev.PHONE, t),
            "code": lambda t: ev.matches_in(ev.CODE, t),
            "duration": lambda t: ev.matches_in(ev.DURATION, t),
            "name": lambda t: ev.names_in(t, self._evidence.question),
        }  # fmt: skip
        if kind == "currency":
            units = {v.unit for v in ev.numbers_in(text)} & {"$", "€", "£"}
            return [Value({"$": "USD", "€": "EUR", "£": "GBP"}[u], "", u, 0, 0) for u in units]
        if kind in finders:
            return list(finders[kind](text))
        if asked.unit or asked.money:
            values = self._numbers(asked, text)
            return [v._replace(value=v.text) for v in values]
        return []

    def _phrases(self, asked: Asked, schema: Schema) -> Iterator[str]:
        """Texts without a form of their own, by what the name of the field says."""
        answer, question = self._evidence.answer, self._evidence.question
        if self._evidence.spoken:
            yield from self._spoken(asked, question)
        elif asked.kind in ("answer", "reason"):
            yield answer
            yield answer.partition(". ")[0]
        elif asked.kind == "question":
            yield question
        elif asked.kind == "subject":
            yield subject(self._evidence.about or question, answer)
        elif asked.cites and self._evidence.sources:
            yield self._evidence.sources[0]

    def _spoken(self, asked: Asked, question: str) -> Iterator[str]:
        """Texts from what the user says, for an argument of a tool."""
        if asked.kind == "question" or not _SEARCHES.isdisjoint(asked.words):
            yield question
            return
        quoted, names = ev.quoted_in(question), ev.names_in(question, "")
        if asked.direction and (found := ev.name_after(asked.direction, question)):
            yield found
        elif quoted:
            if (quoted, -1) not in self._used:
                self._used[quoted, -1] = None
                yield quoted
        elif asked.kind not in ("answer", "reason"):
            inside = [n for n in names if n.start or " " in n.text]  # "Give me ... for Berlin"
            if len(inside or names) == 1:
                yield (inside or names)[0].text
            elif not names and asked.kind == "subject":
                yield subject(question, question)


def _outer(schema: Schema, key: str) -> Schema:
    """What stands beside a choice, for each of its options."""
    return {k: v for k, v in schema.items() if k in ("description", "title")} if key in schema else {}


def _scaled(value: Value, asked: Asked, schema: Schema) -> float | str:
    """The value in the unit of the field: cents, or a share of one."""
    if not isinstance(value.value, float):
        return value.value
    most = min(schema.get("maximum", 100), schema.get("exclusiveMaximum", 100))
    share = asked.scale < 1 or (most <= 1 and not {"percent", "percentage", "pct"} & set(asked.words))
    scale = (
        asked.scale if asked.scale > 1 and value.unit in ("$", "€", "£") else 0.01 if share and value.unit == "%" else 1
    )
    return round(value.value * scale, 10)


def _plain(value: float | str, whole: bool) -> Json:
    """A number as JSON has it: 5 rather than 5.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
