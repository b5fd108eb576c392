"""Passages found for a conversation, and put into its prompt: the same way in training, evaluation and serving.

The last turn alone is often "does it have parking?". So what the conversation is about is looked up first: documents
whose title was mentioned, the latest mention first, are searched on their own and their chunks get a bonus.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from functools import lru_cache
from itertools import islice

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note
from inhouse.config.sections import Assistant, Retrieval
from inhouse.retrieval.citations import cite
from inhouse.retrieval.search import Found, Hit, Index
from inhouse.types import Embedder, Grounder, Message, Passage, SupportScorer

Messages = tuple[Message, ...]

SHORT_QUESTION_WORDS = 4  # shorter ones are searched together with the turn before
MENTION_FADE = 0.5  # a mention one turn earlier counts half
MOST_MENTIONED = 4
LOOKED_AT = 3  # times the number of passages: how far down a shorter one is looked for to fill the room
TYPO_LIKENESS = 0.87
TYPO_CHARS = 2  # how much longer or shorter a misspelled title may be
LONG_WORD_CHARS = 6
_CONTROL = re.compile(r"<\|[^|<>]{0,40}\|>")
_WORD = re.compile(r"\w+")
_CAPITAL = re.compile(r"(?<=[\w,;:] )[A-Z]\w*")


class Grounding:
    """A Grounder over an index."""

    def __init__(self, index: Index, embedder: Embedder, settings: Retrieval, assistant: Assistant) -> None:
        self._index = index
        self._embedder = embedder
        self._settings = settings
        self._assistant = assistant
        self._titles = Titles(index.titles())

    def passages(self, messages: Sequence[Message], groups: Collection[str] = frozenset()) -> list[Passage]:
        """The best passages for the conversation, best first, within the settings' number and tokens."""
        hits = self.hits(messages, groups, LOOKED_AT * self._settings.passages)
        return self.fitting(hit.passage for hit in hits)

    def fitting(self, passages: Iterable[Passage]) -> list[Passage]:
        """The first of the passages, within the settings' number and tokens; one that is too long is passed over."""
        chosen: list[Passage] = []
        left = self._settings.passage_tokens
        for passage in islice(passages, LOOKED_AT * self._settings.passages):
            size = self._embedder.count_tokens(passage.text)
            if size > left and chosen:
                continue
            left -= size
            chosen.append(passage)
            if len(chosen) == self._settings.passages:
                break
        return chosen

    def hits(
        self, messages: Sequence[Message], groups: Collection[str] = frozenset(), k: int | None = None
    ) -> list[Hit]:
        """The k best candidates, or all of them, best first."""
        return self.prepared(messages, groups).hits(self._index.weight, self._index.mention_boost, k)

    def prepared(self, messages: Sequence[Message], groups: Collection[str] = frozenset()) -> Candidates:
        """The candidates of a conversation, to be ranked with any weights."""
        mentioned = self._titles.mentioned(messages, groups)
        query = query_of(messages)
        vectors = self._index.embed(query)
        inside = self._index.candidates(query, groups, list(mentioned), vectors) if mentioned else None
        return Candidates(self._index.candidates(query, groups, vectors=vectors), inside, mentioned)

    def ground(self, messages: Sequence[Message], passages: Sequence[Passage]) -> Messages:
        """System message, earlier messages, then the passages with the question."""
        told = self._assistant
        system = (
            f"{told.instructions} Answer from the numbered passages. If they do not hold the answer, "
            f'say: "{told.handoff}"'
        )
        numbered = "\n".join(f"[{n}] {place(p)}: {plain_text(p.text)}" for n, p in enumerate(passages, 1))
        question = f"{numbered}\n\nQuestion: {plain_text(messages[-1].content)}"
        return (
            Message(role="system", content=system),
            *history(messages, told),
            Message(role="user", content=question),
        )


class Candidates:
    """What either search found for a conversation, in all documents and in those that it mentions."""

    def __init__(self, everywhere: Found, inside: Found | None, mentioned: dict[str, float]) -> None:
        self._everywhere = everywhere
        self._inside = inside
        self._mentioned = mentioned

    def ranked(self, weight: float, boost: float) -> list[tuple[float, Found, int]]:
        """Score, and where it stands, of each; best first.

        Chunks of mentioned documents get up to `boost` more. Scores stay in [0, 1].
        """
        raised = boost if self._inside else 0.0
        best: dict[tuple[str, int], tuple[float, Found, int]] = {}
        for n, score in enumerate(self._everywhere.scores(weight)):
            best[self._everywhere.places[n]] = (score / (1 + raised), self._everywhere, n)
        if self._inside and raised:
            for n, score in enumerate(self._inside.scores(weight)):
                place = self._inside.places[n]
                best[place] = ((score + raised * self._mentioned[place[0]]) / (1 + raised), self._inside, n)
        return [best[place] for place in sorted(best, key=lambda place: (-best[place][0], place))]

    def hits(self, weight: float, boost: float, k: int | None = None) -> list[Hit]:
        """The k best, or all."""
        chosen = self.ranked(weight, boost)[:k]
        made: dict[tuple[bool, int], Hit] = {}
        for found in filter(None, (self._everywhere, self._inside)):
            rows, scores = [n for _, of, n in chosen if of is found], [s for s, of, _ in chosen if of is found]
            keys = ((found is self._inside, n) for n in rows)
            made.update(zip(keys, found.hits(rows, scores), strict=True))
        return [made[found is self._inside, n] for _, found, n in chosen]


class Titles:
    """Finds which documents a conversation names.

    A title counts when its letters stand there, spaces aside, one slip in eight allowed; so does the beginning of a
    title that no other title shares. A single word must be long, or be written with a capital within a sentence.
    """

    def __init__(self, titles: dict[str, tuple[str, frozenset[str]]]) -> None:
        self._access = {source: access for source, (_, access) in titles.items()}
        self._named: dict[str, list[str]] = {}
        starts: dict[str, set[str]] = {}
        for source, (title, _) in titles.items():
            words = _words(title)
            self._named.setdefault("".join(words), []).append(source)
            for n in range(1, len(words)):
                starts.setdefault("".join(words[:n]), set()).add("".join(words))
        for start, whole in starts.items():
            if len(whole) == 1 and start not in self._named and len(start) >= LONG_WORD_CHARS:
                self._named[start] = self._named[next(iter(whole))]
        self._named.pop("", None)
        self._sorted: dict[tuple[str, int], list[str]] = {}
        for name in self._named:
            self._sorted.setdefault((name[0], len(name)), []).append(name)
        self._longest = max((len(_words(t)) for t, _ in titles.values()), default=0) + 1

    def mentioned(self, messages: Sequence[Message], groups: Collection[str] = ()) -> dict[str, float]:
        """Documents by path with the weight of their latest mention, in (0, 1]; only those that `groups` may read."""
        found: dict[str, float] = {}
        weight = 1.0
        for message in reversed(messages):
            if message.role == "system":
                continue
            named = [s for s in self._in(message.content) if self._readable(s, groups)]
            for source in named:
                found.setdefault(source, weight)
            weight *= MENTION_FADE if named else 1.0
            if len(found) >= MOST_MENTIONED:
                break
        return dict(list(found.items())[:MOST_MENTIONED])

    def _readable(self, source: str, groups: Collection[str]) -> bool:
        access = self._access[source]
        return not access or not access.isdisjoint(groups)

    def _in(self, text: str) -> list[str]:
        words = _words(text)
        names = set(_CAPITAL.findall(text))
        found: list[str] = []
        taken: set[int] = set()
        for length in range(min(self._longest, len(words)), 0, -1):
            for at in range(len(words) - length + 1):
                if not taken.isdisjoint(range(at, at + length)):
                    continue  # part of a longer title
                joined = "".join(words[at : at + length])
                if length == 1 and len(joined) < LONG_WORD_CHARS and joined.capitalize() not in names:
                    continue
                sources = self._named.get(joined) or self._alike(joined)
                if sources:
                    taken.update(range(at, at + length))
                    found.extend(s for s in sources if s not in found)
        return found

    @lru_cache(maxsize=20_000)  # noqa: B019  lives as long as the index does
    def _alike(self, joined: str) -> list[str]:
        from rapidfuzz import fuzz, process

        if len(joined) < LONG_WORD_CHARS + 2:
            return []
        near = [
            n
            for size in range(-TYPO_CHARS, TYPO_CHARS + 1)
            for n in self._sorted.get((joined[0], len(joined) + size), ())
        ]
        best = process.extractOne(joined, near, scorer=fuzz.ratio, score_cutoff=100 * TYPO_LIKENESS)
        return self._named[best[0]] if best else []


class Grounded:
    """A ChatModel that answers from passages: a note with them comes first, one with citations before the end."""

    def __init__(self, model: ChatModel, grounder: Grounder, support: SupportScorer, name: str) -> None:
        self.name = name
        self._model = model
        self._grounder = grounder
        self._support = support

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        # In threads: both take milliseconds, in which other answers would stand still.
        found = await asyncio.to_thread(self._grounder.passages, request.messages, request.groups)
        passages = [p for p in found if p.text not in request.without]
        yield Note(layer="grounded", kind="passages", data=[p.model_dump(mode="json") for p in passages])
        grounded = request.model_copy(update={"messages": self._grounder.ground(request.messages, passages)})
        text = ""
        async for event in self._model.stream(grounded):
            if isinstance(event, Delta):
                text += event.text
            elif isinstance(event, Finish):
                cited = await asyncio.to_thread(cite, text, passages, self._support)
                yield Note(layer="grounded", kind="citations", data=cited)
            yield event


def ungrounded(messages: Sequence[Message], assistant: Assistant) -> Messages:
    """The prompt without passages: system message, earlier messages, question."""
    question = Message(role="user", content=plain_text(messages[-1].content))
    return (Message(role="system", content=assistant.instructions), *history(messages, assistant), question)


def history(messages: Sequence[Message], assistant: Assistant) -> Messages:
    """The earlier messages that go into a prompt, system messages left out."""
    earlier = [m for m in messages[:-1] if m.role != "system"]
    kept = earlier[max(0, len(earlier) - assistant.history_messages) :]
    return tuple(m.model_copy(update={"content": plain_text(m.content)}) for m in kept)


def query_of(messages: Sequence[Message]) -> str:
    """What is searched for: the last turn, with the user's turn before it when the last says little."""
    asked = [m.content for m in messages if m.role == "user"]
    last = asked[-1]
    if len(_WORD.findall(last)) < SHORT_QUESTION_WORDS and len(asked) > 1:
        return f"{asked[-2]} {last}"
    return last


def place(passage: Passage) -> str:
    """Where a passage stands, for the prompt: its document and its nearest heading."""
    nearest = passage.heading.rpartition(" > ")[2]
    return plain_text(" > ".join(filter(None, (passage.title, nearest))))


def plain_text(text: str) -> str:
    """The text without anything that the chat template could take for its own marks, and with single spaces."""
    return " ".join(_CONTROL.sub(" ", text).split())


def _words(text: str) -> tuple[str, ...]:
    """Lower-case words, apostrophes closed up, "&" as "and", without a leading "the"."""
    words = _WORD.findall(re.sub(r"['’`]", "", text.casefold().replace("&", " and ")))
    return tuple(words[1:] if len(words) > 1 and words[0] == "the" else words)
