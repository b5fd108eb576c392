"""Plausible values in place of personal data, the same ones throughout a conversation, and of the same type and shape.

"Anna Weber" becomes another name of two words in the same case, an e-mail address one of a reserved domain, a phone
number one of the same format, a date of birth one that is some months off. Each is drawn with an HMAC of the value, the
conversation, and a secret, so the same conversation has the same ones in every turn, nothing has to be kept, and
another conversation has others. None occurs in the conversation or is part of another, so the way back is unambiguous.
Kinds that never leave, such as card numbers, become a fixed text, and there is no way back.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from inhouse.errors import BackendError
from inhouse.privacy.given_names import ALSO_WORDS
from inhouse.privacy.match import spaced
from inhouse.privacy.names import PARTICLES
from inhouse.routing import shapes
from inhouse.routing.restore import Table
from inhouse.text.words import STOP
from inhouse.types import Span

NEVER = ("CARD_NUMBER", "IBAN", "SSN", "NATIONAL_ID", "ACCOUNT_NUMBER", "PIN", "SECRET")
"""Kinds that never leave, whatever the settings say."""
REPLACED = ("PERSON", "EMAIL", "PHONE", "DATE_OF_BIRTH", "ADDRESS", "ORDER_NUMBER", "IP_ADDRESS")
"""Kinds that have surrogates. All others never leave either."""
TRIES = 400  # to find a surrogate
MOST_VALUES = 2000  # of a conversation
LEAST_DIGITS = 6  # of a number that is found in any grouping; a shorter one has to stand alone
_PART = re.compile(r"\d(?:[ .()/-]{0,2}\d)*|[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]{2,}")


class Conversation(NamedTuple):
    """Whose surrogates they are.

    Attributes:
        secret: the key of the HMAC.
        id: of the conversation, and of its user.
        never: more kinds that never leave.
    """

    secret: bytes
    id: str
    never: frozenset[str] = frozenset()


class Surrogates:
    """The surrogates of one conversation: first `learn` the values of every text, then replace them in each.

    Args:
        conversation: whose they are.
        texts: everything that will leave, where no surrogate may occur.
    """

    def __init__(self, conversation: Conversation, texts: Sequence[str]) -> None:
        self.counts: Counter[str] = Counter()  # values by kind
        self._conversation = conversation
        self._all = "\n".join(texts).casefold()
        self._all_digits = re.sub(r"(?<=\d)[ .()/-]{1,2}(?=\d)", "", self._all)
        self._known: dict[tuple[str, str], str] = {}  # by kind and value; "" never leaves
        self._names: set[str] = set()  # in lower case
        self._words: dict[str, str] = {}  # of names, in lower case, by the original in lower case
        self._fresh: dict[str, str] = {}  # of addresses, likewise
        self._spelled: dict[str, str] = {}  # of names as they are written
        self._digits: dict[str, tuple[str, str]] = {}  # numbers without gaps: kind and surrogate, "" never leaves
        self._back: dict[str, str] = {}  # originals by surrogates
        self._variants: dict[str, str] = {}  # other ways to write surrogates
        self._taken: set[str] = set()  # words of names
        self._used: set[str] = set()  # surrogates, without their case
        self._common = STOP | ALSO_WORDS | PARTICLES
        self._whole: Table | None = None

    def learn(self, text: str, spans: Sequence[Span]) -> None:
        """Takes in the values of a text: names first, because addresses are made of them."""
        self._whole = None
        for span in sorted(spans, key=lambda s: s.kind != "PERSON"):
            start, end = _alone(text, span)
            if text[start:end].strip():
                self._value(span.kind, text[start:end])
            if len(self._known) > MOST_VALUES:
                raise BackendError(f"a conversation with more than {MOST_VALUES} values of personal data stays here")

    def __call__(self, text: str, spans: Sequence[Span] = ()) -> str:
        """The text with the values replaced: those at these places, and the known ones elsewhere."""
        done, at = [], 0
        for span in sorted(spans):
            start, end = _alone(text, span)
            if start < at or not text[start:end].strip():
                continue
            done += [self._elsewhere(text[at:start]), self._value(span.kind, text[start:end])]
            at = end
        return "".join([*done, self._elsewhere(text[at:])])

    def back(self) -> Table:
        """The way back, for what was replaced so far: exact spellings before other ways to write them."""
        words = [s for o, s in self._spelled.items() if _WORD.fullmatch(s)]
        return Table(
            [*self._back.items(), *self._variants.items()], [*words, *(v for v in self._variants if v.isalpha())]
        )

    # --- what a value becomes -----------------------------------------------------------------------------------

    def _value(self, kind: str, value: str) -> str:
        never = kind in NEVER or kind in self._conversation.never or kind not in REPLACED
        if kind == "PERSON" and never:  # parts of it neither
            self._known.update({(kind, word): "" for word in _WORD.findall(value) if word not in self._common})
        elif kind == "PERSON":
            if (kind, value) not in self._known:
                self._known[kind, value] = value
                self.counts[kind] += value.casefold() not in self._names
                self._names.add(value.casefold())
            return self._name(value)
        if (kind, value) not in self._known:
            self._known[kind, value] = "" if never else self._made(kind, value)
            digits = "".join(c for c in value if c.isdigit())
            self.counts[kind] += digits not in self._digits
            if (never or kind in ("PHONE", "ORDER_NUMBER")) and len(digits) >= 3:
                made = "".join(c for c in self._known[kind, value] if c.isdigit())
                self._digits.setdefault(digits, (kind, made))
        return self._known[kind, value] or removed(kind)

    def _made(self, kind: str, value: str) -> str:
        if kind in ("PHONE", "ORDER_NUMBER"):
            return self._number(kind, value)
        make: dict[str, Callable[[str, shapes.Draw], str]] = {
            "EMAIL": lambda v, draw: shapes.email(v, draw, self._of_name),
            "DATE_OF_BIRTH": shapes.date,
            "ADDRESS": lambda v, draw: shapes.address(v, draw, self._word_of_address),
            "IP_ADDRESS": shapes.ip,
        }
        key = "" if kind == "DATE_OF_BIRTH" else value.casefold()  # all dates are moved by the same time
        made = next(m for m in self._tried(kind, key, lambda draw: make[kind](value, draw)) if self._free(m))
        self._pair(value, made)
        for other, others in shapes.variants(kind, value, made):
            if self._free(other):
                self._variants.setdefault(other, others)
        return made

    def _number(self, kind: str, value: str) -> str:
        """The digits of a number are replaced alike in every grouping."""
        digits = "".join(c for c in value if c.isdigit())
        if digits in self._digits and self._digits[digits][1]:
            made = shapes.overlaid(value, self._digits[digits][1])
        else:
            made = next(
                m for m in self._tried(kind, digits or value, lambda draw: shapes.number(value, draw))
                if self._free(m) and self._free_digits(m)
            )  # fmt: skip
        self._pair(value, made)
        for other, others in shapes.variants(kind, value, made):
            self._variants.setdefault(other, others)
        return made

    def _name(self, value: str) -> str:
        """Each word of a name is replaced; particles and initials stay."""
        words = list(_WORD.finditer(value))
        if not words:  # a single character, as in Chinese
            return self._spell(value, False)
        done, at = [], 0
        for n, match in enumerate(words):
            word = match[0]
            kept = word in PARTICLES and len(words) > 1
            last = n == len(words) - 1 and (n > 0 or not shapes.is_first(word))
            done += [value[at : match.start()], word if kept else self._spell(word, last)]
            at = match.end()
        made = "".join([*done, value[at:]])
        if any(map(str.isdigit, value)):  # the words may not stand alone in it
            self._pair(value, made)
        return made

    def _spell(self, word: str, last: bool) -> str:
        if word in self._spelled:
            return self._spelled[word]
        key = word.casefold()
        if key not in self._words:
            self._words[key] = self._drawn(key, word, last)
        made = shapes.cased(word, self._words[key])
        if self._back.get(made, word) != word:  # another spelling in the same case, such as McDonald and Mcdonald
            made = shapes.cased(word, self._drawn(word, word, last))
        self._spelled[word] = made
        self._pair(word, made)
        for form in (str.lower, str.upper, str.capitalize) if _WORD.fullmatch(made) else ():
            self._variants.setdefault(form(made), form(word))
        return made

    def _drawn(self, key: str, word: str, last: bool) -> str:
        pool = shapes.pool(word, last)
        made = next(m for m in self._tried("PERSON", key, lambda draw: shapes.word(word, pool, draw)) if self._free(m))
        self._taken.add(made)
        return made

    def _of_name(self, word: str, draw: shapes.Draw) -> str:
        """The word in an e-mail address that is part of a name, as the name is replaced."""
        known = self._words.get(word.casefold())
        return shapes.cased(word, known or shapes.word(word, shapes.pool(word, True), draw))

    def _word_of_address(self, word: str, draw: shapes.Draw) -> str:
        key = word.casefold()
        if key not in self._fresh:
            made = self._tried("ADDRESS", key, lambda d: shapes.word(word, shapes.pool(word, True), d))
            self._fresh[key] = next(m for m in made if self._free(m))
        return shapes.cased(word, self._fresh[key])

    # --- what is free -------------------------------------------------------------------------------------------

    def _tried(self, kind: str, key: str, make: Callable[[shapes.Draw], str]) -> Iterator[str]:
        for n in range(TRIES):
            said = "\0".join((self._conversation.id, kind, key, str(n)))
            digest = hmac.new(self._conversation.secret, said.encode("utf-8", "surrogatepass"), hashlib.sha512).digest()
            yield make(shapes.Draw(digest, n))
        raise BackendError("a value of personal data has no surrogate, so the conversation stays here")

    def _free(self, made: str) -> bool:
        """Whether a surrogate neither occurs in the conversation nor is part of another one, or holds one, but for the
        words of names in an e-mail address."""
        low = made.casefold()
        if low in self._all or low in self._used:
            return False
        own = self._taken if low.isalpha() else ()
        return not any(low in other or other in low for other in own)

    def _free_digits(self, made: str) -> bool:
        digits = "".join(c for c in made if c.isdigit())
        return digits not in self._all_digits and not any(digits == d for _, d in self._digits.values())

    def _pair(self, value: str, made: str) -> None:
        self._back[made] = value
        self._used.add(made.casefold())

    # --- known values elsewhere ---------------------------------------------------------------------------------

    def _elsewhere(self, text: str) -> str:
        """The text between the places that were found."""
        if not self._known or not text:
            return text
        if self._whole is None:
            whole = {
                v: made or removed(kind) for (kind, v), made in self._known.items() if kind != "PERSON" or not made
            }
            whole |= {o: s for o, s in self._spelled.items() if not spaced(o).strip() and len(o) > 1}
            self._whole = Table(whole.items())
        return "".join(_PART.sub(self._part, plain) + new for plain, new in self._whole.parts(text))

    def _part(self, match: re.Match[str]) -> str:
        part = match[0]
        return self._digits_in(part) if part[0].isdigit() else self._word_in(part)

    def _word_in(self, word: str) -> str:
        key = word.casefold()
        if key in self._words and (word in self._spelled or key not in self._common or word[0].isupper()):
            return self._spell(word, False)
        if word[-1] in "sS" and word[:-1] in self._spelled:
            return self._spelled[word[:-1]] + word[-1]
        return word

    def _digits_in(self, run: str) -> str:
        digits = "".join(c for c in run if c.isdigit())
        if found := self._digits.get(digits):
            kind, made = found
            return self._value(kind, run) if made else removed(kind)
        long = ((d, kind) for d, (kind, made) in self._digits.items() if not made and len(d) >= LEAST_DIGITS)
        return next((removed(kind) for d, kind in long if d in digits), run)


def removed(kind: str) -> str:
    """What stands for a value that never leaves."""
    return f"[{kind.lower().replace('_', ' ')} removed]"


def _alone(text: str, span: Span) -> tuple[int, int]:
    """The place, made longer until it stands alone: a surrogate is found again where it does."""
    start, end = span.start, min(span.end, len(text))
    while start > 0 and _joined(text[start - 1], text[start]):
        start -= 1
    while 0 < end < len(text) and _joined(text[end - 1], text[end]):
        end += 1
    return start, end


def _joined(one: str, other: str) -> bool:
    return one.isalnum() and other.isalnum() and bool(spaced(one).strip()) and bool(spaced(other).strip())
