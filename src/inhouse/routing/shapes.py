"""Values of the same shape: another name, e-mail address, number, date, or street, drawn from the digest of an HMAC."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from inhouse.privacy.given_names import ALSO_WORDS, GIVEN
from inhouse.privacy.match import spaced
from inhouse.privacy.names import first_names_anywhere, known_names

DOMAINS = ("example.com", "example.net", "example.org")  # RFC 2606: they belong to nobody
NETWORKS = ("192.0.2", "198.51.100", "203.0.113")  # RFC 5737
ENDINGS = (
    "mann", "berg", "stein", "feld", "owski", "nsen", "sson", "nson", "rson", "dsson", "bauer", "meier", "meyer",
    "ández", "ínez", "ández", "guez", "hardt", "wicz", "strom",
)  # fmt: skip
"""Of family names that are no words."""
LEAST_CHARS = 5  # of a name that replaces another
POOL_TRIES = 60  # then two names are joined
MOST_DAYS = 300  # that a date is moved by
STREET_WORDS = frozenset(
    """street st avenue ave road rd lane ln drive dr boulevard blvd court ct way place pl terrace circle parkway highway
    square crescent close row alley loop ridge run apt apartment unit suite ste floor flat box north south east west
    po rue avenue place via viale piazza calle plaza straße strasse platz weg allee ul""".split()  # noqa: SIM905
)
"""Words of an address that say what is meant, and stay."""
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_NUMERIC = re.compile(r"(\d{1,4})(\s?[/.-]\s?)(\d{1,2})(\s?[/.-]\s?)(\d{2,4})")
_WORDED = re.compile(r"[a-z]{3,9}", re.IGNORECASE)
_RUN = re.compile(r"\d+|[^\W\d_]+")


class Draw(NamedTuple):
    """Where a value is drawn from: 64 random bytes, and how many were tried before."""

    digest: bytes
    tried: int

    def number(self, below: int, at: int = 0) -> int:
        """A number from 0 up to, not including, `below`; another one for each `at`."""
        start = (at * 5) % 59
        return (int.from_bytes(self.digest[start : start + 5], "big") ^ at * 0x9E37) % below


# --- names ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _pools() -> dict[str, tuple[str, ...]]:
    """Names in lower case by what they are: "first", "last", and with letters beyond ASCII "first+", "last+"."""
    firsts, lasts = set(GIVEN), set[str]()
    for language in ("de", "es", "fr", "it", "pl", "nl", "pt"):
        lasts |= {n for n in known_names(language, "last_names") if n.endswith(ENDINGS)}
        firsts |= {n for n in known_names(language, "first_names") if not n.isascii()}
        lasts |= {n for n in known_names(language, "last_names") if not n.isascii()}
    pools: dict[str, list[str]] = {"first": [], "last": [], "first+": [], "last+": []}
    for what, names in (("first", firsts - ALSO_WORDS), ("last", lasts)):
        for name in sorted(names):
            if name.isalpha() and len(name) >= LEAST_CHARS and name.capitalize().lower() == name and "ß" not in name:
                pools[what if name.isascii() else what + "+"].append(name)
    return {what: tuple(names) for what, names in pools.items()}


@lru_cache(maxsize=2)
def _characters(last: bool) -> tuple[str, ...]:
    """Chinese names: family names, or given ones."""
    return tuple(sorted(n for n in known_names("zh", "last_names" if last else "first_names") if len(n) <= 2))


def is_first(word: str) -> bool:
    """Whether the word is a first name somewhere."""
    return word.casefold() in first_names_anywhere()


def pool(word: str, last: bool) -> Sequence[str]:
    """Where a name is drawn from that replaces `word`; it has letters beyond ASCII where that has."""
    if not spaced(word).strip():
        return ()
    return _pools()[("last" if last else "first") + ("" if word.isascii() else "+")]


def word(old: str, names: Sequence[str], draw: Draw) -> str:
    """A name in lower case."""
    if not names:
        family, given = _characters(True), _characters(False)
        length = max(len(old), 2) - 1
        made = family[draw.number(len(family))] + "".join(given[draw.number(len(given), 1 + n)] for n in range(length))
        return made[: max(len(old), 2)]
    first = names[draw.number(len(names))]
    return first if draw.tried < POOL_TRIES else first + names[draw.number(len(names), 1)]


def cased(like: str, made: str) -> str:
    """The word in the case of another one; mixed case counts as a capital."""
    if like.islower():
        return made
    return made.upper() if like.isupper() and len(like) > 1 else made.capitalize()


# --- composed values --------------------------------------------------------------------------------------------

Words = Callable[[str, Draw], str]


def email(value: str, draw: Draw, name: Words) -> str:
    """An address of a reserved domain, with as many words and digits before the @."""
    local, _, domain = value.rpartition("@")
    made = _replaced(local, draw, lambda run, d: name(run, d) if len(run) > 2 else run, digits=True)
    if draw.tried or not any(c.isalnum() for c in local):
        made += str(draw.number(90, 7) + 10)
    new = DOMAINS[draw.number(len(DOMAINS), 8)]
    return f"{made}@{new.upper() if domain.isupper() else new}"


def address(value: str, draw: Draw, name: Words) -> str:
    """Other names and numbers; words such as "street", and short ones such as states, stay."""
    return _replaced(
        value, draw, lambda run, d: run if len(run) < 3 or run.casefold() in STREET_WORDS else name(run, d), digits=True
    )


def number(value: str, draw: Draw) -> str:
    """Other digits; a country's code and a leading 0 stay. Where there are few digits, letters change too."""
    few = sum(c.isdigit() for c in value) < 4
    kept = 0
    if value.startswith("+"):
        kept = next((n for n, c in enumerate(value[1:], 1) if not c.isdigit()), 3)
        kept = min(kept, 4)
    done = []
    for n, c in enumerate(value):
        if c.isdigit() and c.isascii() and n >= kept:
            done.append(c if c == "0" and n == kept else str(_other(draw, n, int(c))))
        elif few and c.isascii() and c.isalpha():
            made = chr(ord("a") + draw.number(26, n))
            done.append(made.upper() if c.isupper() else made)
        else:
            done.append(c)
    return "".join(done)


def overlaid(value: str, digits: str) -> str:
    """The value with these digits in place of its own."""
    rest = iter(digits)
    return "".join(next(rest, c) if c.isdigit() else c for c in value)


def ip(value: str, draw: Draw) -> str:
    """An address of a network for documentation."""
    if ":" in value:
        return f"2001:db8::{draw.number(0xFFFF, 1):x}:{draw.number(0xFFFF, 2):x}"
    return f"{NETWORKS[draw.number(len(NETWORKS))]}.{draw.number(254, 1) + 1}"


# --- dates ------------------------------------------------------------------------------------------------------


def date(value: str, draw: Draw) -> str:
    """A date moved by a number of days, in the same format; other digits where it is not one of a known format."""
    days = draw.number(MOST_DAYS - 20) + 20
    return _moved(value, days if draw.number(2, 3) else -days) or number(value, draw)


def _moved(value: str, days: int) -> str:
    if match := _NUMERIC.fullmatch(value.strip()):
        parts = [match[1], match[3], match[5]]
        orders = ((0, 1, 2),) if len(parts[0]) == 4 else ((2, 1, 0), (2, 0, 1))
        for order in orders:  # year, month, day
            if day := _date(*(parts[n] for n in order)):
                moved = day + datetime.timedelta(days=days)
                for n, new in zip(order, (moved.year, moved.month, moved.day), strict=True):
                    parts[n] = (
                        str(new)[-len(parts[n]) :].zfill(len(parts[n])) if n == order[0] else _padded(parts[n], new)
                    )
                return f"{parts[0]}{match[2]}{parts[1]}{match[4]}{parts[2]}"
        return ""
    if re.fullmatch(r"(?:19|20)\d\d", value):
        return str(int(value) + (days % 5 + 1) * (1 if days > 0 else -1))
    numbers, months = re.findall(r"\d+", value), [w for w in _WORDED.findall(value) if _month(w)]
    if len(months) != 1 or not numbers:
        return ""
    year = next((n for n in numbers if len(n) == 4), "")
    day_ = next((n for n in numbers if n != year), "")
    first = _date(year or "1984", str(_month(months[0])), day_ or "15")
    if first is None:
        return ""
    moved = first + datetime.timedelta(days=days)
    name = _MONTHS[moved.month - 1]
    spelled = cased(months[0], name if len(months[0]) > 3 else name[:3])
    made = value.replace(months[0], spelled, 1)
    made = made.replace(year, str(moved.year), 1) if year else made
    if not day_:
        return made
    made = re.sub(rf"(?<!\d){day_}(?!\d)", _padded(day_, moved.day), made, count=1)
    return re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", _ordinal(moved.day), made)


def _date(year: str, month: str, day: str) -> datetime.date | None:
    full = int(year) if len(year) == 4 else 1900 + int(year)
    try:
        return datetime.date(full, int(month), int(day))
    except ValueError:
        return None


def _padded(old: str, new: int) -> str:
    return str(new).zfill(2) if len(old) == 2 else str(new)


def _month(word: str) -> int:
    return next((n for n, name in enumerate(_MONTHS, 1) if word.lower() in (name, name[:3])), 0)


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


# --- other ways to write them -----------------------------------------------------------------------------------


def variants(kind: str, value: str, made: str) -> Iterator[tuple[str, str]]:
    """Other ways to write a surrogate, each with the same way to write the original."""
    if kind == "EMAIL":
        yield made.lower(), value.lower()
    elif kind == "PHONE":
        for gap in ("", " ", "-", "."):
            old, new = (re.sub(r"[ .()/-]+", gap, v.strip("()")) for v in (value, made))
            yield new, old
    elif kind == "ADDRESS":
        parts = [[part.strip() for part in re.split(r"[,\n]", v)] for v in (value, made)]
        if len(parts[0]) == len(parts[1]):
            yield from ((new, old) for old, new in zip(*parts, strict=True) if new != old and any(map(str.isdigit, new))
                        and any(map(str.isalpha, new)))  # fmt: skip


def _replaced(value: str, draw: Draw, name: Words, digits: bool) -> str:
    """The value with other words and numbers."""

    def other(match: re.Match[str]) -> str:
        run = match[0]
        if run[0].isdigit():
            return "".join(str(_other(draw, match.start() + n, int(c))) for n, c in enumerate(run)) if digits else run
        return name(run, Draw(draw.digest[match.start() % 50 :] + draw.digest, draw.tried))

    return _RUN.sub(other, value)


def _other(draw: Draw, at: int, digit: int) -> int:
    """A digit that is not 0, and not the same one."""
    made = draw.number(8, at) + 1
    return made if made < digit else made + 1
