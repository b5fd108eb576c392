"""Personal data replaced by typed placeholders, the same value by the same placeholder throughout a conversation.

Values are found by Presidio and our patterns (`recognizers`) and by what the conversation asks for (`context`). A
value found once is replaced in every turn: in any letter case, digits with or without gaps, parts of a name too. What
the business's own documents contain is public and stays, as do its names and the words that it mostly writes in lower
case.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from inhouse.privacy import foreign
from inhouse.privacy.context import COMMON, NOT_PEOPLE, THINGS, WORD, answers, kinds_requested, late_secrets
from inhouse.privacy.match import Match, Parts, spaced, whole
from inhouse.privacy.names import BY_CHARACTERS, PARTICLES, stop_words
from inhouse.privacy.recognizers import PRIORITY, Recognizers
from inhouse.text.hidden import hidden
from inhouse.text.language import language, languages
from inhouse.text.words import STOP
from inhouse.types import Example, Message, digest_of

PLACEHOLDER = re.compile(r"<[A-Z_]+_\d+>")
NAMES = frozenset(["PERSON", "SECRET"])
CARD_DIGITS = 15
MIN_STREET_CHARS = 7
SHORT_CHARS = 20  # of a turn that may be in any language
_PUBLIC_NUMBER = re.compile(r"\+?\(?\d[\d ()./-]{2,}\d")
_PLACE_BEFORE = re.compile(r"\b(?:in|at|from|near|around|to|towards|via|of|the|a|an|town)\s+$", re.IGNORECASE)
_TRAVEL = re.compile(
    r"\b(?:train|taxi|bus|flight|travel\w*|leav\w+|depart\w*|arriv\w+|going|go|head\w*|trip)\b", re.IGNORECASE
)
_OWN = re.compile(
    r"\byour (?:[\w-]+ ){0,2}(?:address|number|phone|mobile|cell|e-?mail)\b|\bon file\b"
    r"|\b(?:ihre[mnr]?|deine[mnr]?) (?:[\w-]+ ){0,2}(?:adresse|anschrift|\w{0,12}nummer|handy|e-?mail)"
    r"|\b(?:votre|ton|ta) (?:num[ée]ro|t[ée]l[ée]phone|portable|adresse|e-?mail)"
    r"|\b(?:su|tu) (?:n[úu]mero|tel[ée]fono|m[óo]vil|celular|direcci[óo]n|correo)"
    r"|\b(?:suo|sua|tuo|tua) (?:numero|telefono|cellulare|indirizzo|e-?mail)"
    r"|\b(?:seu|sua|teu|tua) (?:n[úu]mero|telefone|celular|telem[óo]vel|endere[çc]o|morada|e-?mail)"
    r"|\b(?:uw|je|jouw) (?:\w{0,9}nummer|mobiel|adres|e-?mail)"
    r"|\b(?:pana|pani|pa[ńn]stwa|tw[óo]j) (?:numer|telefon|adres|e-?mail)"
    r"|[您你]的(?:电话|手机|号码|地址|邮箱|联系方式|電話|手機|號碼|地址|信箱)|(?:お客様の|ご登録の)(?:電話|携帯|住所|メール)",
    re.IGNORECASE,
)
_OF_THE_BUSINESS = frozenset(["ADDRESS", "PHONE", "EMAIL"])
_TITLES = frozenset("mr mrs ms miss dr prof sir madam".split())  # noqa: SIM905


class Anonymizer:
    """Replaces personal data; works offline, and gives the same result for the same conversation.

    Args:
        spacy_folder: folder of a spaCy model with names.
        keep: names that are never personal, such as brands, products and places.

    Raises:
        BackendError: the folder is not a spaCy model.
    """

    def __init__(self, spacy_folder: Path, keep: Sequence[str] = ()) -> None:
        with hidden("spacy", "torch", "transformers"):
            from spacy.lang.en.stop_words import STOP_WORDS

        self._recognizers = Recognizers(spacy_folder)
        self._stop = COMMON | STOP_WORDS
        self._around = self._stop | _TITLES
        self._words = set(self._stop)
        self._kept: set[frozenset[str]] = set()
        self._kept_words: set[str] = set()
        self._public: set[str] = set()
        self._public_words: set[str] = set()
        self._public_small: set[str] = set()
        self._usual = foreign.ENGLISH  # the language of a conversation that does not show its own
        self.keep(keep)

    def keep(self, phrases: Iterable[str]) -> None:
        """Adds names that are never personal, such as the titles of documents."""
        for phrase in phrases:
            if words := frozenset(w.removesuffix("'s") for w in _words(phrase)) - self._stop:
                self._kept.add(words)
                self._kept_words |= words
        self._is_kept.cache_clear()

    def learn(self, public: Iterable[str], logs: Iterable[str] = ()) -> None:
        """Treats numbers, addresses and e-mail addresses in `public` texts as public, and learns which words are names.

        A word that `public` and `logs` write in lower case at least three times, and mostly so, is not a name. A
        conversation in no clear language is read in that of most logs.
        """
        small: Counter[str] = Counter()
        large: Counter[str] = Counter()
        logs = list(logs)
        if spoken := languages(logs):
            self._usual = max(spoken, key=lambda name: spoken[name])
        for is_public, texts in ((True, public), (False, logs)):
            for text in texts:
                for word in WORD.findall(text):
                    if is_public and word[0].islower():
                        self._public_small.add(word.lower())
                    (large if word[0].isupper() else small)[word.lower()] += 1
                if is_public:
                    self._public_words.update(_words(text))
                    self._public.update(_key(m[0]) for m in _PUBLIC_NUMBER.finditer(text))
                    self._public.update(_key(address) for address in _addresses(text))
                    self._public.update(_key(m[0]) for m in re.finditer(r"\b[A-Z]+-?\d[\w-]*\w", text))
        self._words |= {w for w, n in small.items() if n >= 3 and n > large[w]}

    def read_ahead(self, conversations: Iterable[Example]) -> None:
        """Analyzes several conversations at once, which is faster; `anonymize` then uses the cached results."""
        turns = [_turns(c) for c in conversations]
        languages = [name for some in turns for name in self.languages(some)]
        self._recognizers.find([t.content for some in turns for t in some], languages)

    def anonymize(self, conversation: Example) -> tuple[Example, Counter[str]]:
        """The conversation with placeholders, and the number of values replaced by kind."""
        turns = _turns(conversation)
        spans = self.spans(turns)
        swap = _Swap(turns, spans, self._words, self._stop)
        if not swap.counts:
            return conversation, Counter()
        *messages, target = [t.model_copy(update={"content": swap(n, t.content)}) for n, t in enumerate(turns)]
        changed: dict[str, object] = {"messages": tuple(messages), "target": target.content}
        for name in ("id", "group"):
            value = getattr(conversation, name)
            if swap(-1, value) != value:
                changed[name] = digest_of(value)[:12]
        changed["tags"] = tuple(swap(-1, tag) for tag in conversation.tags)
        return conversation.model_copy(update=changed), swap.counts

    def languages(self, turns: Sequence[Message]) -> list[str]:
        """The language of each turn; of a short one, that of the conversation."""
        whole = _language("\n".join(t.content for t in turns)) or self._usual
        return [(_language(t.content) if len(t.content) >= SHORT_CHARS else "") or whole for t in turns]

    def spans(self, turns: Sequence[Message]) -> list[list[Match]]:
        """The personal data of each turn, without overlaps."""
        languages = self.languages(turns)
        matches = self._recognizers.find([t.content for t in turns], languages)
        now: set[str] = set()
        before: set[str] = set()
        spans: list[list[Match]] = []
        for turn, name, shapes in zip(turns, languages, matches, strict=True):
            text = turn.content
            asked = kinds_requested(text) | foreign.kinds_requested(text, name)
            requested: list[Match] = []
            if turn.role == "user":
                before |= asked - NAMES  # "my PIN is either 1234 or 4321" names its own kind
                requested = list(self._answers(text, name, now, before))
            else:
                now = asked
                before |= now
            numbers = _settled([], [f for f in shapes if f.kind not in NAMES])
            names = self._named(text, (f for f in shapes if f.kind in NAMES))
            own = [f for f in (*numbers, *names) if self._personal(f, turn, text)]
            spans.append(_settled([f for f in requested if not self._is_whole_name(text, f)], own))
        return spans

    def _answers(self, text: str, name: str, now: set[str], before: set[str]) -> Iterator[Match]:
        if name not in foreign.RULES:
            yield from answers(text, now, before, self._words)
            if "SECRET" in before - now:
                yield from late_secrets(text, self._words)
            return
        yield from answers(text, now - {"ADDRESS"}, before, self._words | stop_words(name))
        if "DATE_OF_BIRTH" in before:
            yield from (Match("DATE_OF_BIRTH", *span, sure=True) for span in foreign.dates(text, name))

    def entities(self, text: str) -> list[tuple[int, int, str]]:
        """Names of any kind according to spaCy: start, end, label."""
        return self._recognizers.entities(text)

    def is_public(self, value: str) -> bool:
        """Whether the business's own documents contain the value (of a name, all words), or it is a name to keep."""
        words = set(_words(value))
        return _key(value) in self._public or (bool(words) and (words <= self._public_words or self._is_kept(value)))

    def _named(self, text: str, matches: Iterable[Match]) -> Iterator[Match]:
        """The same names without the common words around them."""
        for f in matches:
            line = text.find("\n", f.start, f.end)  # a name does not continue on the next line
            tokens = list(WORD.finditer(text, f.start, line if line > 0 else f.end))
            for end in (-1, 0):
                while f.kind == "PERSON" and tokens and tokens[end][0].lower() in self._around:
                    tokens.pop(end)
            if tokens:
                yield f._replace(start=tokens[0].start(), end=tokens[-1].end())

    def _personal(self, match: Match, turn: Message, text: str) -> bool:
        value = text[match.start : match.end]
        if match.kind not in NAMES:
            if turn.role == "assistant" and match.kind in _OF_THE_BUSINESS and not _OWN.search(text):
                return False  # contact data of the business; a customer's own is in the customer's turns too
            return _key(value) not in self._public
        words = _words(value)
        if NOT_PEOPLE.issuperset(words):
            return False  # "I'm Italian"
        if match.sure:
            unlikely = self._words if value[0].islower() else self._stop if match.kind == "PERSON" else ()
            return words[0] not in unlikely and not self._is_kept(value)
        names = [w for w in words if w not in self._words]
        if not names or any(w in THINGS for w in words) or self._is_kept(value) or not value[0].isupper():
            return False
        if turn.role == "assistant" and all(w in self._public_words for w in words):
            return False  # the assistant talks about what the documents contain
        place = _PLACE_BEFORE.search(text, 0, match.start)
        if place and _TRAVEL.search(text):
            return False
        if len(words) > 1:
            return len(names) >= len(words) / 2 and all(w[0].isupper() for w in value.split() if w[0].isalpha())
        if value.isupper() or {words[0], words[0].removesuffix("s")} & self._public_small:
            return False  # an abbreviation, or a capitalized word of the business
        return not place or place[0].lower().strip() in ("to", "from")

    @lru_cache(maxsize=20_000)  # noqa: B019 - lives as long as the run
    def _is_kept(self, value: str) -> bool:
        """Whether one phrase to keep has all words of `value`, allowing for a typo."""
        words = {w.removesuffix("'s") for w in _words(value)} - self._stop
        if any(words <= phrase for phrase in self._kept):
            return True
        meant = {(difflib.get_close_matches(w, self._kept_words, 1, 0.85) or [w])[0] for w in words}
        return meant != words and any(meant <= phrase for phrase in self._kept)

    def _is_whole_name(self, text: str, match: Match) -> bool:
        """Whether the match is a full name of the business; a single word could be the customer's name too."""
        words = frozenset(_words(text[match.start : match.end]))
        return match.kind in NAMES and len(words) > 1 and words - self._stop in self._kept


def _settled(requested: Sequence[Match], own: Sequence[Match]) -> list[Match]:
    """Matches without overlaps: requested ones first, then the longest, then by priority."""
    parts = Parts()
    taken: dict[tuple[int, int], Match] = {}
    for group in (requested, own):
        for f in sorted(group, key=lambda f: (f.start - f.end, PRIORITY.index(f.kind), f.start)):
            others = parts.overlapping(f.start, f.end)
            longer = group is own and f.end - f.start > sum(end - start for start, end in others)
            if others and (not longer or f.kind == "NUMBER"):
                continue
            for other in others:
                parts.remove(*other)
                del taken[other]
            parts.add(f.start, f.end)
            taken[f.start, f.end] = f
    return sorted(taken.values(), key=lambda f: f.start)


class _Value(NamedTuple):
    kind: str
    placeholder: str


class _Swap:
    """Replaces the values found in the turns of one conversation by placeholders, wherever they occur."""

    def __init__(
        self, turns: Sequence[Message], spans: Sequence[Sequence[Match]], words: set[str], stop: set[str]
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._spans = spans
        self._values: dict[str, _Value] = {}
        self._parts: dict[str, str] = {}
        for turn, matches in zip(turns, spans, strict=True):
            for f in matches:
                value = turn.content[f.start : f.end]
                kind = f.kind
                if kind == "NUMBER":
                    kind = "CARD_NUMBER" if len(_key(value)) >= CARD_DIGITS else "ACCOUNT_NUMBER"
                self._add(kind, value, stop)
        self._known = self._parts | {key: value.placeholder for key, value in self._values.items()}
        patterns = [
            _anywhere(key, value.kind, words) for key, value in self._values.items() if not _is_a_character(key)
        ]
        patterns += [_anywhere(part, "PERSON", words) for part in self._parts]
        patterns.sort(key=len, reverse=True)
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def _add(self, kind: str, value: str, stop: set[str]) -> None:
        key = _key(value)
        if key in self._values:
            return
        parts = [w for w in _words(value) if len(w) > 1 and w not in stop | PARTICLES] if kind in NAMES else []
        same = next((self._parts[p] for p in parts if p in self._parts), "")
        if not same:
            self.counts[kind] += 1
            same = f"<{kind}_{self.counts[kind]}>"
        self._values[key] = _Value(kind, same)
        street = value.partition(",")[0]
        if kind == "ADDRESS" and street != value and any(map(str.isdigit, street)) and len(street) > MIN_STREET_CHARS:
            self._values.setdefault(_key(street), _Value(kind, same))
        for part in parts:
            self._parts.setdefault(part, same)

    def __call__(self, turn: int, text: str) -> str:
        """The text with placeholders; `turn` is its number, -1 for a text outside the turns."""
        done = []
        at = 0
        for f in self._spans[turn] if turn >= 0 else ():
            done += [self._elsewhere(text[at : f.start]), self._known[_key(text[f.start : f.end])]]
            at = f.end
        done.append(self._elsewhere(text[at:]))
        # a first name and a surname that were found separately are one person
        return re.sub(r"(<(?:PERSON|SECRET)_\d+>)(?:[ ,]+\1)+", r"\1", "".join(done))

    def _elsewhere(self, text: str) -> str:
        if not self._pattern or not text:
            return text
        return self._pattern.sub(lambda m: self._known[_key(m[0])], text)


def _anywhere(key: str, kind: str, words: set[str]) -> str:
    """A pattern for other spellings of a value: any case, except that a name which is also a word needs a capital."""
    if key.isdigit():
        return r"(?<![\d$£€.,])" + r"[ .()/-]{0,2}".join(key) + r"(?![\d%]|[.,]\d)"
    spelled = r"\s+".join(re.escape(w).replace("'", "['’]") for w in key.split())
    if kind in NAMES and " " not in key and key in words:
        first, rest = re.escape(key[0].upper()), re.escape(key[1:]).replace("'", "['’]")
        return rf"(?<!\w){first}(?i:{rest})(?!\w)"
    return whole(key, f"(?i:{spelled})")


def _addresses(text: str) -> Iterator[str]:
    """Words with an @ inside, without the punctuation after them."""
    for word in text.split():
        end = len(word)
        while end and not (word[end - 1].isalnum() or word[end - 1] == "_"):
            end -= 1
        if "@" in word[1:end]:
            yield word[:end]


def _is_a_character(key: str) -> bool:
    """Whether a name is a single Chinese character: that is part of many words."""
    return len(key) == 1 and not spaced(key).strip()


@lru_cache(maxsize=20_000)
def _language(text: str) -> str:
    """The language, unless there are more common words of English: names and typos mislead in short texts."""
    name = language(text)
    own = stop_words(name)
    if not own or name in BY_CHARACTERS:
        return name
    words = _words(text)
    return name if sum(w in own for w in words) >= sum(w in COMMON or w in STOP for w in words) else ""


def _turns(conversation: Example) -> list[Message]:
    return [*conversation.messages, Message(role="assistant", content=conversation.target)]


def _key(value: str) -> str:
    """A canonical spelling of a value: digits without gaps, words in lower case with single spaces."""
    if not re.search(r"[^\W\d_]", value):
        return re.sub(r"\D", "", value) or value
    return " ".join(value.casefold().replace("’", "'").split())


def _words(text: str) -> list[str]:
    return [w.casefold().replace("’", "'") for w in WORD.findall(text)]
