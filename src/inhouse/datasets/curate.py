"""Conversations and documents in; train, validation and test sets with their data card out.

Personal data is replaced first: nothing is written, or quoted in a reason, before that.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from inhouse.chat import ChatModel
from inhouse.config.sections import Curation
from inhouse.datasets.card import Removed, Selection, card, markdown
from inhouse.datasets.conversations import Rejected, read_conversations, read_tests
from inhouse.datasets.decontaminate import Leak, leaks
from inhouse.datasets.examples import Courtesy, cut, in_rounds, plainly_polite
from inhouse.datasets.filter import duplicates, faults
from inhouse.datasets.review import approved, refused, reviewed
from inhouse.datasets.split import split
from inhouse.datasets.synthesize import Made, from_documents, from_teacher
from inhouse.datasets.variants import variants
from inhouse.errors import InputError
from inhouse.files import write_text
from inhouse.privacy.anonymize import Anonymizer
from inhouse.text.cache import CachedVectors
from inhouse.text.language import languages
from inhouse.types import Checks, Document, Embedder, Example, Json, Progress, Review, Step, digest_of

CACHE = "anonymized.jsonl"
MOST_REASONS = 4
EARLIER = "an earlier reply of a held-out conversation, whose sources or checks are about the last one"
AT_ONCE = 32


@dataclass(frozen=True)
class Sources:
    """What a data set is made from.

    Attributes:
        documents: question-answer pairs are made from their structure.
        conversations: files of past conversations.
        tests: the user's own test files; without any, a share of the conversations is held out.
        feedback: replies that reviewers approved; they count as conversations.
        reviews: what people decided about single examples, by id; applied to all of the above.
    """

    documents: Sequence[Document] = ()
    conversations: Sequence[Path] = ()
    tests: Sequence[Path] = ()
    feedback: Sequence[Example] = ()
    reviews: Mapping[str, Review] = field(default_factory=dict)


class _Chosen(NamedTuple):
    """What the sets are selected from: examples, the user's tests, what is left out so far, the ids of replies that are
    learned from but never tested, and how many lines could not be read."""

    candidates: list[Example]
    tests: list[Example]
    removed: list[Removed]
    once: frozenset[str]
    lines: str


@dataclass(frozen=True)
class Curator:
    """Makes data sets.

    Attributes:
        settings: the [curation] section.
        handoff: the sentence that hands a question to a person; rows with this reply count as unanswerable.
        seed: for the split and the topics.
        embedder: finds near duplicates, leaks and topics.
        anonymizer: replaces personal data; None keeps it.
        teacher: a model that writes more pairs, and how many per section; None for no such pairs.
        language_gaps: what the models do not know of the languages of the documents, for the card.
        courtesy: recognizes greetings, thanks, and goodbyes, whose replies nothing is learned from.
    """

    settings: Curation
    handoff: str
    seed: int
    embedder: Embedder
    anonymizer: Anonymizer | None = None
    teacher: tuple[ChatModel, int] | None = None
    language_gaps: tuple[str, ...] = ()
    courtesy: Courtesy = plainly_polite

    def curate(self, sources: Sources, out: Path, progress: Progress) -> dict[str, Json]:
        """Writes train.jsonl, validation.jsonl, test.jsonl, removed.jsonl, card.json and card.md into `out`.

        An interrupted run continues from what it has anonymized in `out`.

        Returns:
            Facts for the artifact: sizes of the sets, and counts of what was left out.

        Raises:
            InputError: a file cannot be read, or nothing is left to train on.
            BackendError: the teacher does not answer.
        """
        reviews, notes = sources.reviews, Counter[str]()
        logs, bad_lines = read_conversations(sources.conversations, self.settings.where, notes)
        tests, bad_tests = read_tests(sources.tests, self.settings.where, notes)
        feedback, tests = reviewed(sources.feedback, reviews), reviewed(tests, reviews)
        rejected = [*bad_lines, *bad_tests]
        out.mkdir(parents=True, exist_ok=True)
        said = len(logs)  # replies that a person approved are cut by nothing: the ones before them are a model's
        logs, tests, personal = self._anonymized(sources.documents, [*logs, *feedback], tests, out, progress)
        replies, removed, once = self._replies(logs[:said], reviews)
        pairs, without_forms, refusals = self._pairs(sources.documents, progress)
        pairs = reviewed(pairs, reviews)
        read: dict[str, Json] = {
            "conversations": said,
            "replies_of_conversations": len(replies),
            "approved_replies": len(feedback),
            "own_tests": len(tests),
            "pairs_from_documents": len(pairs),
            "sections_without_pairs_by_language": dict(without_forms),
            "pairs_of_the_teacher_refused": dict(refusals),
            "documents_left_out_as_restricted": sum(bool(d.access) for d in sources.documents),
            "lines_left_out": len(rejected),
            "notes": {said: n for said, n in notes.most_common() if n},
        }
        embedder = CachedVectors(self.embedder, most=sys.maxsize)  # duplicates, leaks and topics look at the same texts
        candidates = [*(_marked(e, self.handoff) for e in (*replies, *logs[said:])), *pairs]
        lines = f"{len(rejected)} lines" if rejected else ""
        chosen = _Chosen(candidates, tests, removed, once, lines)
        selection = self._select(chosen, sources.documents, embedder, reviews, progress)
        facts = card(selection, rejected, read, personal, embedder, self.seed, self.language_gaps)
        _write(out, selection, rejected, facts)
        return {name: len(rows) for name, rows in selection.sets.items()} | {
            "removed": dict(Counter(r.step for r in selection.removed)),
            "lines_left_out": len(rejected),
            "personal_data": personal.total(),
            "leaks": len(selection.leaks),
            "languages": languages(e.target for e in selection.sets["train"] if e.answerable),
        }

    def _anonymized(
        self, documents: Sequence[Document], logs: list[Example], tests: list[Example], out: Path, progress: Progress
    ) -> tuple[list[Example], list[Example], Counter[str]]:
        """Conversations and tests without personal data, and how many values were replaced, by kind."""
        personal: Counter[str] = Counter()
        if self.anonymizer:
            _prepare(self.anonymizer, documents, logs)
            cached = _Anonymized(out / CACHE, self.anonymizer, personal)
            with progress.step("replacing personal data", len(logs) + len(tests)) as step:
                logs, tests = cached.all(logs, step), cached.all(tests, step)
        return logs, tests, personal

    def _replies(
        self, conversations: Sequence[Example], reviews: Mapping[str, Review]
    ) -> tuple[list[Example], list[Removed], frozenset[str]]:
        """What is learned from conversations, what is not, and the ids of those replies that no test asks for, since
        what the row says of its answer is about its last reply."""
        cuts, removed, once = [], [], set[str]()
        for conversation in conversations:
            examples, left_out = cut(conversation, self.courtesy, self.settings.most_replies)
            cuts.append(examples)
            removed += [Removed(step="replies", reason=reason, example=e) for e, reason in left_out]
            if conversation.sources or conversation.checks.any:
                once.update(e.id for e in examples if e.id != conversation.id)
        replies = reviewed(in_rounds(cuts), reviews)
        if self.anonymizer:
            edited = {e.id for e in replies if e.id in reviews}
            replies = [self.anonymizer.anonymize(e)[0] if e.id in edited else e for e in replies]
        return replies, removed, frozenset(once)

    def _pairs(
        self, documents: Sequence[Document], progress: Progress
    ) -> tuple[list[Example], Counter[str], Counter[str]]:
        """Question-answer pairs made from documents; how many sections had none for their language; and how many pairs
        of the teacher were refused, by reason."""
        pairs, without_forms = from_documents(documents) if self.settings.synthesize else Made([], Counter())
        if self.teacher is None:
            return pairs, without_forms, Counter()
        written, refusals = asyncio.run(from_teacher(documents, *self.teacher, progress))
        return pairs + written, without_forms, refusals

    def _select(
        self,
        chosen: _Chosen,
        documents: Sequence[Document],
        embedder: Embedder,
        reviews: Mapping[str, Review],
        progress: Progress,
    ) -> Selection:
        """The three sets, what was left out, and what is in the test too."""
        candidates, tests, removed = chosen.candidates, chosen.tests, chosen.removed
        with progress.step("checking quality, duplicates, split, leaks", 4) as step:
            candidates = _without(candidates, refused(candidates, reviews), "review", removed)
            tests = _without(tests, refused(tests, reviews), "review", removed)
            reasons = faults(candidates, self.settings)
            bad = {n: why for n, why in reasons.items() if not approved(candidates[n], reviews)}
            kept = _without(candidates, bad, "quality", removed)
            step.advance()
            same = duplicates(kept, embedder, self.settings.duplicate)
            kept = _without(kept, {n: how for n, (_, how) in same.items()}, "duplicate", removed)
            step.advance()
            sets = split(kept, tests, self.settings, self.seed, _summary(removed, chosen.lines))
            for part in ("test", "validation"):
                earlier = {n: EARLIER for n, e in enumerate(sets[part]) if e.id in chosen.once}
                sets[part] = _without(sets[part], earlier, "split", removed)
            if not tests and self.handoff:
                declined = Checks(must_not_answer=True)
                sets["test"] = [e if e.answerable else e.model_copy(update={"checks": declined}) for e in sets["test"]]
            step.advance()
            leaked: list[Leak] = []
            for part in ("train", "validation"):
                seen = leaks(sets["test"], sets[part], part, embedder, self.settings.duplicate)
                sets[part] = _without(sets[part], dict.fromkeys(seen, "also asked in the test"), "leak", removed)
                leaked += seen.values()
            step.advance()
        for part in ("train", "validation") if self.settings.synthesize else ():
            sets[part] += variants(sets[part], documents, self.handoff, self.seed)
        if not sets["train"]:
            why = _summary(removed, chosen.lines)
            raise InputError(f"no example is left to train on ({why})", "add conversations, or relax [curation]")
        return Selection(sets, removed, leaked)


def _summary(removed: Sequence[Removed], lines: str) -> str:
    """What was left out and why, the most frequent reasons first."""
    reasons = Counter(r.reason for r in removed).most_common(MOST_REASONS)
    said = [f'{n} replies: "{reason}"' for reason, n in reasons] + ([f"{lines} that cannot be read"] if lines else [])
    return f"left out: {', '.join(said)}" if said else ""


def _write(out: Path, selection: Selection, rejected: Sequence[Rejected], facts: Mapping[str, Json]) -> None:
    for name, examples in selection.sets.items():
        write_rows(out / f"{name}.jsonl", (e.to_openai() for e in examples))
    lines = [{"step": "read", **r.model_dump()} for r in rejected]
    rows = [{"step": r.step, "reason": r.reason, **r.example.to_openai()} for r in selection.removed]
    write_rows(out / "removed.jsonl", [*lines, *rows])
    write_text(out / "card.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    write_text(out / "card.md", markdown(facts))
    (out / CACHE).unlink(missing_ok=True)


def write_rows(path: Path, rows: Iterable[Json]) -> None:
    """Writes one JSON object per line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_examples(path: Path) -> list[Example]:
    """The examples of a file that `curate` wrote.

    Raises:
        InputError: the file is missing or a line of it is not an example.
    """
    examples: list[Example] = []
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                examples.append(Example.from_openai(json.loads(line)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "run `inhouse curate` to create it") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        hint = "run `inhouse curate` to create it"
        raise InputError(f"{path}:{number}: not an example ({type(error).__name__})", hint) from error
    return examples


def _prepare(anonymizer: Anonymizer, documents: Sequence[Document], logs: Sequence[Example]) -> None:
    anonymizer.keep(d.title for d in documents)
    public = [d.text for d in documents if not d.access]
    anonymizer.learn(public, (m.content for e in logs for m in e.messages))


def _marked(example: Example, handoff: str) -> Example:
    declined = bool(handoff) and example.target.strip() == handoff.strip()
    return example.model_copy(update={"answerable": False}) if declined else example


def _without(rows: Sequence[Example], reasons: Mapping[int, str], step: str, removed: list[Removed]) -> list[Example]:
    removed += (Removed(step=step, reason=reason, example=rows[n]) for n, reason in sorted(reasons.items()))
    return [e for n, e in enumerate(rows) if n not in reasons]


class _Anonymized:
    """Anonymized conversations, cached in a file so that an interrupted run continues; it holds no raw text.

    The key of a row is the hash of its whole raw conversation.
    """

    def __init__(self, file: Path, anonymizer: Anonymizer, personal: Counter[str]) -> None:
        self._anonymizer, self._personal = anonymizer, personal
        self._known: dict[str, dict[str, Json]] = {}
        if file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):  # the line that was being written when the run was stopped
                    row = json.loads(line)
                    self._known[row["of"]] = row
        write_rows(file, self._known.values())
        self._file = file

    def all(self, examples: Sequence[Example], step: Step) -> list[Example]:
        made = []
        with self._file.open("a", encoding="utf-8") as lines:
            for n, example in enumerate(examples):
                of = digest_of(example.digest)
                if n % AT_ONCE == 0 and of not in self._known:
                    self._anonymizer.read_ahead(examples[n : n + AT_ONCE])
                if of not in self._known:
                    done, counts = self._anonymizer.anonymize(example)
                    self._known[of] = {"of": of, "counts": dict(counts), "example": done.model_dump(mode="json")}
                    lines.write(json.dumps(self._known[of], ensure_ascii=False) + "\n")
                self._personal.update(self._known[of]["counts"])
                made.append(Example.model_validate(self._known[of]["example"]))
                step.advance()
        return made
