"""Finds passages for a conversation and puts them into its prompt, the same way in training, evaluation and serving.

The last question alone is often "does it have parking?". So it is searched together with the questions before it; and
documents whose title the conversation mentions are also searched separately, and their chunks get a bonus: the later
the mention, the larger.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from functools import lru_cache
from itertools import chain, islice, zip_longest

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, streaming
from inhouse.config.sections import Assistant, Retrieval
from inhouse.errors import ConfigError
from inhouse.files import matches
from inhouse.retrieval.chunk import size_in_tokens
from inhouse.retrieval.citations import cite
from inhouse.retrieval.query import Spelling, abbreviations, query_of, separately, spelled_out, without_asides
from inhouse.retrieval.ranking import RANKED, Hit
from inhouse.retrieval.search import Fusion, Index, Results
from inhouse.text.arithmetic import needs_calculation, worked
from inhouse.text.cache import kept_for
from inhouse.text.words import STOP, words
from inhouse.types import Embedder, Grounder, Json, Matrix, Message, Passage, SupportScorer, may_read, without_tools

Messages = tuple[Message, ...]

SUBJECT_QUESTIONS = 4  # of the user, from the last one back: they say what a follow-up is about
MENTION_FADE = 0.5  # an earlier mention counts half as much as the next one
MOST_MENTIONED = 4
NEARLY = 0.85  # of the best passage's probability; less keeps more passages that only distract
CONSIDERED = 3  # times the number of passages: candidates considered when a long one does not fit
TITLE_WORDS = 20  # of a title that are compared: comparing a longer one takes time quadratic in its length
TYPO_SIMILARITY = 0.87
TYPO_CHARS = 2  # how much longer or shorter a misspelled title may be
LONG_WORD_CHARS = 6
_DETERMINERS = frozenset("a an any some another no every each one what which my your our this that".split())  # noqa: SIM905
_CONTROL = re.compile(r"<\|[^|<>]{0,40}\|>")
_CAPITAL = re.compile(r"(?<=[\w,;:] )[A-Z]\w*")


class Grounding:
    """A Grounder over an index.

    Args:
        index: where passages come from.
        embedder: of the index.
        settings: how many passages, and of which length.
        assistant: the instructions in the prompt.
        within: patterns of the documents to search, such as "services/**"; empty for all.

    Raises:
        ConfigError: no document matches the patterns.
    """

    def __init__(
        self, index: Index, embedder: Embedder, settings: Retrieval, assistant: Assistant, within: Sequence[str] = ()
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._settings = settings
        self._assistant = assistant
        titles = index.titles()
        if within:
            titles = {source: title for source, title in titles.items() if matches(source, within)}
            if not titles:
                raise ConfigError(f"no document matches {', '.join(within)}", "patterns are relative to documents.path")
        self._sources = list(titles) if within else []
        self._titles = Titles(titles)
        self._abbreviations = abbreviations({title for title, access in titles.values() if not access})
        self._spelling = Spelling(index.vocabulary, lambda word: embedder.count_tokens(word) == 1)

    def passages(self, messages: Sequence[Message], groups: Collection[str] = frozenset()) -> list[Passage]:
        """The best passages for the conversation, best first, within the settings' number of passages and tokens.

        Where a ranker was fitted, only those that are nearly as likely as the best one to hold the answer: a small
        model takes the wrong one of several now and then. Several questions in one message are searched separately, and
        their passages come in turn.
        """
        found = [self._likely(asked, groups) for asked in separately(messages)]
        in_turn: dict[tuple[str, str], Passage] = {}
        for hit in filter(None, chain.from_iterable(zip_longest(*found))):
            in_turn.setdefault((hit.chunk.source, hit.chunk.text), hit.passage)
        return self.fitting(in_turn.values())

    def _likely(self, messages: Messages, groups: Collection[str]) -> list[Hit]:
        """The passages for one question, best first; those that are nearly as likely as the best, if that is known."""
        hits = self.hits(messages, groups, CONSIDERED * self._settings.passages)
        if self._index.ranker and hits:
            return [h for h in hits[:RANKED] if h.score >= NEARLY * hits[0].score]
        return hits

    def fitting(self, passages: Iterable[Passage]) -> list[Passage]:
        """The first passages within the settings' number of passages and tokens.

        A passage that is too long for the rest of the tokens is skipped, unless it is the first.
        """
        chosen: list[Passage] = []
        left = self._settings.passage_tokens
        for passage in islice(passages, CONSIDERED * self._settings.passages):
            size = size_in_tokens(self._embedder.count_tokens, passage.text)
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
        """The k best candidates, or all of them, best first. Where a ranker was fitted, the first come in its order."""
        ranker = self._index.ranker
        if ranker is None:
            return self.candidates(messages, groups).hits(self._index.fusion, k)
        hits = self.candidates(messages, groups).hits(self._index.fusion, None if k is None else max(k, RANKED))
        return [*ranker.ranked(self.searched(messages), hits), *hits[RANKED:]][:k]

    def searched(self, messages: Sequence[Message]) -> Messages:
        """The conversation as it is searched: what the user says without asides and misspellings, with abbreviations
        and durations in other words too."""

        def in_other_words(text: str) -> str:
            bare = without_asides(text)
            if not self._index.takes_english(bare):  # every word of another language would look misspelled
                return bare
            return spelled_out(self._spelling.correct(bare), self._abbreviations)

        return tuple(
            m.model_copy(update={"content": in_other_words(m.content)}) if m.role == "user" else m for m in messages
        )

    def candidates(self, messages: Sequence[Message], groups: Collection[str] = frozenset()) -> Candidates:
        """The candidates for a conversation, to be ranked with any fusion."""
        mentioned = self._titles.mentioned(messages, groups)
        messages = self.searched(messages)
        query, vectors = query_of(messages), self._vectors(messages)
        inside = self._index.candidates(query, groups, list(mentioned), vectors) if mentioned else None
        everywhere = self._index.candidates(query, groups, self._sources, vectors)
        return Candidates(everywhere, inside, mentioned)

    def _vectors(self, messages: Sequence[Message]) -> Matrix:
        """Unit vectors to search with, shape (pieces, dimensions): of the last question, each moved halfway towards the
        vector of the last questions together, so that a follow-up is searched with its subject."""
        import numpy as np

        questions = [m.content for m in messages if m.role == "user"][-SUBJECT_QUESTIONS:]
        vectors = self._index.embed(questions[-1])
        if len(questions) == 1:
            return vectors
        mixed = vectors + self._index.embed(" ".join(questions))[-1]
        unit: Matrix = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        return unit

    def ground(self, messages: Sequence[Message], passages: Sequence[Passage]) -> Messages:
        """The prompt: system message, earlier messages, then the numbered passages with the question."""
        assistant = self._assistant
        system = (
            f"{instructions(messages, assistant)} Answer from the numbered passages. If they do not hold the answer, "
            f'say: "{assistant.handoff}"'
        )
        numbered = "\n".join(f"[{n}] {place(p)}: {plain_text(p.text)}" for n, p in enumerate(passages, 1))
        *earlier, last = _said(messages)
        question = f"{numbered}\n\nQuestion: {plain_text(last.content)}"
        return (
            Message(role="system", content=system),
            *history(earlier, assistant),
            Message(role="user", content=question),
        )


class Candidates:
    """The results of searching all documents, and of searching those that a conversation mentions."""

    def __init__(self, everywhere: Results, inside: Results | None, mentioned: dict[str, float]) -> None:
        self._everywhere = everywhere
        self._inside = inside
        self._mentioned = mentioned

    def ranked(self, fusion: Fusion) -> list[tuple[float, Results, int]]:
        """For each candidate, best first: its score, the results that it is in, and its row in them.

        Chunks of mentioned documents get up to `fusion.mention_boost` more. Scores stay in [0, 1].
        """
        boost = fusion.mention_boost if self._inside else 0.0
        best: dict[tuple[str, int], tuple[float, Results, int]] = {}
        for n, score in enumerate(self._everywhere.scores(fusion.weight)):
            best[self._everywhere.places[n]] = (score / (1 + boost), self._everywhere, n)
        if self._inside and boost:
            for n, score in enumerate(self._inside.scores(fusion.weight)):
                place = self._inside.places[n]
                best[place] = ((score + boost * self._mentioned[place[0]]) / (1 + boost), self._inside, n)
        return [best[place] for place in sorted(best, key=lambda place: (-best[place][0], place))]

    def hits(self, fusion: Fusion, k: int | None = None) -> list[Hit]:
        """The k best candidates, or all."""
        chosen = self.ranked(fusion)[:k]
        hits: dict[tuple[bool, int], Hit] = {}
        for results in filter(None, (self._everywhere, self._inside)):
            rows, scores = [n for _, of, n in chosen if of is results], [s for s, of, _ in chosen if of is results]
            keys = ((results is self._inside, n) for n in rows)
            hits.update(zip(keys, results.hits(rows, scores), strict=True))
        return [hits[results is self._inside, n] for _, results, n in chosen]


class Titles:
    """Finds the documents that a conversation mentions by title.

    Spaces do not matter, and about one letter in eight may be wrong. The beginning of a title is enough when no other
    title has these words. A single word must be long, or be capitalized within a sentence. A kind of thing is no title:
    neither "a restaurant" nor "the guest houses", where several titles have these words.
    """

    def __init__(self, titles: dict[str, tuple[str, frozenset[str]]]) -> None:
        self._access = {source: access for source, (_, access) in titles.items()}
        self._named: dict[str, list[str]] = {}
        self._starts: set[str] = set()  # beginnings of titles that are enough
        starts: dict[str, set[str]] = {}
        names = {source: _words(title)[:TITLE_WORDS] for source, (title, _) in titles.items()}
        shared = Counter(w for name in set(names.values()) for w in set(name))
        self._generic = _DETERMINERS | STOP | {w + s for w, n in shared.items() if n > 1 for s in ("", "s")}
        for source, name in names.items():
            self._named.setdefault("".join(name), []).append(source)
            for n in range(1, len(name)):
                starts.setdefault("".join(name[:n]), set()).add("".join(name))
        for start in _distinctive(starts, names.values()):
            if start not in self._named and len(start) >= LONG_WORD_CHARS:
                self._named[start] = self._named[next(iter(starts[start]))]
                self._starts.add(start)
        self._named.pop("", None)
        self._sorted: dict[tuple[str, int], list[str]] = {}
        for joined in self._named:
            self._sorted.setdefault((joined[0], len(joined)), []).append(joined)
        self._longest = max(map(len, names.values()), default=0) + 1  # a title may be written with a space more

    def mentioned(self, messages: Sequence[Message], groups: Collection[str] = ()) -> dict[str, float]:
        """Documents that `groups` may read, by path, with the weight of their latest mention in (0, 1]."""
        mentions: dict[str, float] = {}
        weight = 1.0
        for message in reversed(messages):
            if message.role == "system":
                continue
            named = [s for s in self._in(message.content) if self._readable(s, groups)]
            for source in named:
                mentions.setdefault(source, weight)
            weight *= MENTION_FADE if named else 1.0
            if len(mentions) >= MOST_MENTIONED:
                break
        return dict(list(mentions.items())[:MOST_MENTIONED])

    def _readable(self, source: str, groups: Collection[str]) -> bool:
        return may_read(self._access[source], groups)

    def _in(self, text: str) -> list[str]:
        """The documents whose titles are in the text, longest titles first."""
        spoken = _words(text)
        capitalized = set(_CAPITAL.findall(text))
        named: dict[str, None] = {}
        taken: set[int] = set()
        for length in range(min(self._longest, len(spoken)), 0, -1):
            for at in range(len(spoken) - length + 1):
                if not taken.isdisjoint(range(at, at + length)):
                    continue  # part of a longer title
                span = spoken[at : at + length]
                joined = "".join(span)
                small = length == 1 and joined.capitalize() not in capitalized
                after_determiner = joined in self._starts and at and spoken[at - 1] in _DETERMINERS
                if small and (len(joined) < LONG_WORD_CHARS or after_determiner):
                    continue
                sources = self._named.get(joined)
                if not sources and span[0] not in _DETERMINERS and not self._generic.issuperset(span):
                    sources = self._misspelled(joined)
                if sources:
                    taken.update(range(at, at + length))
                    named.update(dict.fromkeys(sources))
        return list(named)

    @lru_cache(maxsize=20_000)  # noqa: B019  lives as long as the index
    def _misspelled(self, joined: str) -> list[str]:
        from rapidfuzz import fuzz, process

        if len(joined) < LONG_WORD_CHARS + 2:
            return []
        sizes = range(len(joined) - TYPO_CHARS, len(joined) + TYPO_CHARS + 1)
        near = [n for size in sizes for n in self._sorted.get((joined[0], size), ())]
        best = process.extractOne(joined, near, scorer=fuzz.ratio, score_cutoff=100 * TYPO_SIMILARITY)
        return self._named[best[0]] if best else []


class Grounded:
    """A ChatModel that answers from passages: a note with the passages comes first, one with citations at the end.

    Args:
        model: answers.
        grounder: finds the passages.
        support: cites them.
        name: of this model.
        calculate: answer questions that need a small calculation by calculating, where one of text/arithmetic.py fits.
    """

    def __init__(
        self, model: ChatModel, grounder: Grounder, support: SupportScorer, name: str, calculate: bool = False
    ) -> None:
        self.name = name
        self._model = model
        self._grounder = grounder
        self._support = support
        self._calculate = calculate

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        # In threads: retrieval and citations take milliseconds, which would delay other answers.
        retrieved = await asyncio.to_thread(self._grounder.passages, request.messages, request.groups)
        passages = [p for p in retrieved if p.text not in request.without]
        yield Note(layer="grounded", kind="passages", data=[p.model_dump(mode="json") for p in passages])
        questions, texts = [m.content for m in request.messages if m.role == "user"], [p.text for p in passages]
        calculates = self._calculate and needs_calculation(questions, texts)
        if calculates and (calculation := worked(questions, texts)) is not None:
            cited = await asyncio.to_thread(self._cited, calculation.sentence, passages, request.groups)
            yield Delta(text=calculation.text)
            yield Note(layer="grounded", kind="citations", data=cited)
            yield Finish(reason="stop", confidence=1.0)
            return
        grounded = request.model_copy(update={"messages": self._grounder.ground(request.messages, passages)})
        text = ""
        async with streaming(self._model, grounded) as events:
            async for event in events:
                if isinstance(event, Delta):
                    text += event.text
                elif isinstance(event, Finish):
                    cited = await asyncio.to_thread(self._cited, text, passages, request.groups)
                    yield Note(layer="grounded", kind="citations", data=cited)
                yield event

    def _cited(self, text: str, passages: Sequence[Passage], groups: Collection[str]) -> Json:
        with kept_for(groups):
            return cite(text, passages, self._support)


def ungrounded(messages: Sequence[Message], assistant: Assistant) -> Messages:
    """The prompt without passages: system message, earlier messages, the question."""
    *earlier, last = _said(messages)
    question = Message(role="user", content=plain_text(last.content))
    return (Message(role="system", content=instructions(messages, assistant)), *history(earlier, assistant), question)


def instructions(messages: Sequence[Message], assistant: Assistant) -> str:
    """The instructions, with those of the client's system messages where `assistant.client_system` appends them."""
    added = [plain_text(m.content) for m in messages if m.role == "system" and assistant.client_system == "append"]
    return " ".join([assistant.instructions, *added])


def _said(messages: Sequence[Message]) -> Sequence[Message]:
    """The conversation without system messages, results of tools among what the user says; the question is last."""
    return [m for m in without_tools(messages) if m.role != "system"] or messages[-1:]


def history(earlier: Sequence[Message], assistant: Assistant) -> Messages:
    """The latest of the earlier messages, as many as go into a prompt."""
    kept = earlier[max(0, len(earlier) - assistant.history_messages) :]
    return tuple(m.model_copy(update={"content": plain_text(m.content)}) for m in kept)


def place(passage: Passage) -> str:
    """Where a passage comes from, as the prompt says it: the title of its document and the nearest heading."""
    nearest = passage.heading.rpartition(" > ")[2]
    return plain_text(" > ".join(filter(None, (passage.title, nearest))))


def plain_text(text: str) -> str:
    """The text with single spaces, and without anything that the chat template could read as one of its marks."""
    return " ".join(_CONTROL.sub(" ", text).split())


def _distinctive(starts: dict[str, set[str]], names: Collection[tuple[str, ...]]) -> set[str]:
    """Beginnings of titles that no other title begins with, and that none has further on."""
    found = {start for start, whole in starts.items() if len(whole) == 1}
    for name in names:
        for at in range(1, len(name)):
            found.difference_update("".join(name[at:end]) for end in range(at + 1, len(name) + 1))
    return found


def _words(text: str) -> tuple[str, ...]:
    """Lower-case words without apostrophes, with "&" as "and" and without a "the" at the beginning."""
    spoken = words(re.sub(r"['’`]", "", text.replace("&", " and ")))
    return tuple(spoken[1:] if len(spoken) > 1 and spoken[0] == "the" else spoken)
