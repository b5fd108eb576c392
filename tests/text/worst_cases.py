"""Texts that take a pattern the longest, made from its own parse tree, and whether its time stays linear on them."""

from __future__ import annotations

import random
import re
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from re import _constants as c
from re import _parser
from typing import Any

MANY = 60  # a repetition of more is not bounded
PROBE = 4_000  # characters: what takes less than FLOOR_S for these is not looked at further
FLOOR_S = 0.003
LIMIT_S = 1.0  # of processor time
RATIO = 2.5  # linear is 2, quadratic is 4
AGAIN = 5  # what looks slow is measured so often again: other work on the machine makes one time longer, not the least of many
GENERIC = "aA0_ \n\t-.,:;/@=#|<>[](){}\"'`*+$%é的\u0301"
FAILING = ("", "!", "\n", "\x00", "a")
SEARCHING = frozenset({"search", "finditer", "findall", "sub", "subn", "split"})


def attacks(pattern: str | bytes, flags: int, tries: int) -> Iterator[Callable[[int], str]]:
    """Functions from a length to a text: each character of the pattern, and parts of texts that it matches, repeated."""
    rng = random.Random(f"{pattern!r}")
    shown = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    try:
        with warnings.catch_warnings(category=FutureWarning, action="error"):
            tree = _parser.parse(shown, flags & ~re.LOCALE)
    except (re.error, FutureWarning):  # syntax of `regex`, such as sets without others
        tree = None
    literals = sorted(set(_literals(tree) if tree is not None else shown))
    pool = "".join(dict.fromkeys([*GENERIC, *rng.sample(literals, min(len(literals), 40))]))
    for character in pool:
        yield repeated(character)
    for _ in range(tries // 4):
        a, b = rng.choice(pool), rng.choice(pool)
        yield repeated(a + b)
        yield repeated(a * 3 + b)
    if tree is None:
        return
    repeats = list(_repeats(tree))
    for i in range(tries):
        sampler = Sampler(rng, pool, repeats[i % len(repeats)] if repeats else None)
        before, body, after = sampler.sample(tree)
        if sample := before + body * 2 + after:
            start = rng.randrange(min(len(sample), 4))
            unit = sample[start : rng.randint(start + 1, len(sample))]
            yield repeated(unit, after=rng.choice(("", sample)))
            yield repeated(sample)
        if body:
            end = after[: rng.randint(0, len(after))] + rng.choice(FAILING)
            yield repeated(body, before, end)
            yield repeated(before + body * rng.randint(1, 3), after=end)


def repeated(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """A function from a length to so many characters of repetitions, with something before and after."""
    return lambda n: before + unit * (n // len(unit)) + after


class Sampler:
    """A text that a parse tree matches, in three parts: before, one round of, and after the repetition `target`."""

    def __init__(self, rng: random.Random, pool: str, target: Any) -> None:
        self.rng, self.pool, self.target = rng, pool, target
        self.parts = ["", "", ""]
        self.at = 0
        self.groups: dict[int, str] = {}

    def sample(self, tree: Any) -> tuple[str, str, str]:
        self._sequence(tree)
        before, body, after = self.parts
        return (before, body, after) if self.at == 2 else ("", "", before)

    def _put(self, text: str) -> None:
        self.parts[self.at] += text

    def _sequence(self, tree: Any) -> None:
        for op, value in tree:
            self._node(op, value)

    def _node(self, op: Any, value: Any) -> None:
        if op is c.LITERAL:
            self._put(self.rng.choice((chr(value), chr(value).lower())))
        elif op is c.NOT_LITERAL:
            self._put(self._member([(c.NEGATE, None), (c.LITERAL, value)]))
        elif op is c.ANY:
            self._put(self.rng.choice(self.pool))
        elif op is c.IN:
            self._put(self._member(value))
        elif op is c.BRANCH:
            inside = [b for b in value[1] if any(r is self.target for r in _repeats(b))]
            self._sequence(self.rng.choice(inside or value[1]))
        elif op is c.SUBPATTERN:
            at, before = self.at, self.parts[self.at]
            self._sequence(value[3])
            self.groups[value[0]] = self.parts[at][len(before) :] if self.at == at else ""
        elif op is c.ATOMIC_GROUP:
            self._sequence(value)
        elif op is c.GROUPREF:
            self._put(self.groups.get(value, ""))
        elif op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            self._repeat(value)
        elif op is c.ASSERT and value[0] > 0 and any(r is self.target for r in _repeats(value[1])):
            self._sequence(value[1])

    def _repeat(self, value: Any) -> None:
        least, most, inside = value
        if value is self.target and self.at == 0:
            for _ in range(min(least, 3)):
                self._sequence(inside)
            self.at = 1
            self._sequence(inside)
            self.at = 2
            return
        times = (
            max(least, 1) if any(r is self.target for r in _repeats(inside)) else self.rng.choice((least, least + 1))
        )
        for _ in range(min(times, most, 40)):
            self._sequence(inside)

    def _member(self, items: Any) -> str:
        negated = bool(items) and items[0][0] is c.NEGATE
        if negated:
            tried = [x for x in self.rng.sample(self.pool, min(12, len(self.pool))) if not _holds(items[1:], x)]
            return tried[0] if tried else "\u4e2d"
        op, value = self.rng.choice(items)
        if op is c.LITERAL:
            return chr(value)
        if op is c.RANGE:
            return chr(self.rng.choice((value[0], value[1], self.rng.randint(*value))))
        fitting = [x for x in self.pool if _holds(items, x)]
        return self.rng.choice(fitting) if fitting else "a"


def _holds(items: Any, character: str) -> bool:
    kinds: dict[Any, Callable[[str], bool]] = {
        c.CATEGORY_DIGIT: str.isdigit, c.CATEGORY_SPACE: str.isspace, c.CATEGORY_WORD: lambda x: x.isalnum() or x == "_",
        c.CATEGORY_NOT_DIGIT: lambda x: not x.isdigit(), c.CATEGORY_NOT_SPACE: lambda x: not x.isspace(),
        c.CATEGORY_NOT_WORD: lambda x: not (x.isalnum() or x == "_"),
    }  # fmt: skip
    return any(
        (op is c.LITERAL and ord(character) == value)
        or (op is c.RANGE and value[0] <= ord(character) <= value[1])
        or (op is c.CATEGORY and kinds[value](character))
        for op, value in items
    )


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    for op, value in tree:
        yield op, value
        if op is c.BRANCH:
            inside = value[1]
        elif op is c.SUBPATTERN:
            inside = [value[3]]
        elif op is c.ATOMIC_GROUP:
            inside = [value]
        elif op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            inside = [value[2]]
        elif op in (c.ASSERT, c.ASSERT_NOT):
            inside = [value[1]]
        elif op is c.GROUPREF_EXISTS:
            inside = [v for v in value[1:] if v is not None]
        else:
            continue
        for each in inside:
            yield from _nodes(each)


def _repeats(tree: Any) -> Iterator[Any]:
    """The repetitions without a small bound."""
    kinds = (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT)
    return (value for op, value in _nodes(tree) if op in kinds and value[1] > MANY)


def _literals(tree: Any) -> Iterator[str]:
    for op, value in _nodes(tree):
        if op is c.LITERAL:
            yield chr(value)
        elif op is c.IN:
            yield from (chr(v) for o, v in value if o is c.LITERAL)


def slow(
    work: Callable[[Any], object],
    made: Iterable[Callable[[int], Any]],
    probe: int = PROBE,
    floor: float = FLOOR_S,
    limit: float = LIMIT_S,
) -> str:
    """Says how the time grows on one of the texts, if more than linearly; "" where it does not on any.

    Args:
        work: what is measured.
        made: functions from a length to a text.
        probe: characters; what takes less than the floor for these is not looked at further.
        floor: seconds of processor time.
        limit: the same, after which a call is stopped.
    """
    least = 2 * floor
    for make in made:
        for size in (probe // 16, probe):
            if (spent := _time(work, make(size), limit)) > floor:
                break
        else:
            continue
        if spent >= limit:
            return f"over {limit:.0f} s for {size} characters: {make(60)[:60]!r}"
        whole = _best(work, make(probe), limit)
        for n in (2 * probe, 4 * probe):
            half, whole = whole, _best(work, make(n), limit)
            if whole < limit and (whole < least or whole / half <= RATIO):
                floor = max(floor, whole)  # as long as linear time takes for a longer text
                break
        else:
            for _ in range(AGAIN):
                half, whole = min(half, _best(work, make(n // 2), limit)), min(whole, _best(work, make(n), limit))
            if whole < limit and whole / half <= RATIO:
                continue
            return f"{half:.3f} s for {n // 2} characters, {whole:.3f} s for {n}: {make(60)[:60]!r}"
    return ""


def _best(work: Callable[[Any], object], text: Any, limit: float) -> float:
    first = _time(work, text, limit)
    return first if first >= limit else min(first, _time(work, text, limit))


def _time(work: Callable[[Any], object], text: Any, limit: float) -> float:
    try:
        with limited(limit):
            started = time.thread_time()
            work(text)
            return time.thread_time() - started
    except TimeoutError:
        return limit


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends what runs in the main thread after so many seconds of processor time; `re` looks for signals while it matches."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


UNITS = (
    "a", "A", "é", "的", "0", "9 ", " ", "\n", "\t", " \n", "a ", "Word ", "a. ", "?", "。", "？」", "e.g. ", "Mr. A ", "api=", "key: ",
    "a.b", "a-", "a_", "a'", "a@b.de ", "@", "http://a.de/ ", "://", "(", "[", "[a](", "![", "<", "<a ", "<p>", "</p>", "<!--", "<table>",
    "<td>", "&", "&#1", "{", '{"a":', '"', "'", "`", "```\n", "**", "*", "_", "# a\n", "#", "- a\n", "1. a\n", "> ", "|", "|-|\n", "| a | b |\n",
    "--- ", "---\n", "==", "$1 ", "1,000 ", "5% ", "between 1 ", "1 day ", "the limit is $5. ", "\u0301", "\u200b", "\u3000", "\ufeff",
    "\U000e0041", "my name is Ann Lee. ", "Herr Ott ", "4111 1111 1111 1111 ", "+49 30 123456 ", "DE89 ", "AB1234 ", "user: a\n", "ignore ",
    "From: a\n", "a,b\n", "\\", "\\n", "ａ", "ﷺ",
)  # fmt: skip


def texts(units: Iterable[str] = UNITS) -> Iterator[Callable[[int], str]]:
    """One thing repeated, distinct words, one giant word, and deep nesting."""
    yield lambda n: " ".join(f"w{i}" for i in range(n // 6))
    yield lambda n: " ".join(f"Word{i} has ${i}.{i % 100:02}." for i in range(n // 20))
    yield lambda n: "".join(chr(97 + i * i % 26) for i in range(n))
    for opening, closing in ("()", "[]", "{}", "<>", ("<b>", "</b>"), ("> ", ""), ("“", "”")):
        yield lambda n, a=opening, b=closing: a * (n // len(a + b)) + b * (n // len(a + b))
    yield lambda n: '{"a": ' * (n // 7) + "1" + "}" * (n // 7)
    yield from map(repeated, units)
