"""Conversations and documents in; train, validation and test sets with their data card out.

Personal data goes first: nothing is written, or quoted in a reason, before it is replaced.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from inhouse.chat import ChatModel
from inhouse.config.sections import Curation
from inhouse.datasets.card import Removed, card, markdown
from inhouse.datasets.conversations import read_conversations, read_tests
from inhouse.datasets.decontaminate import Leak, leaks
from inhouse.datasets.filter import duplicates, faults
from inhouse.datasets.jsonl import write_rows
from inhouse.datasets.review import approved, refused, reviewed
from inhouse.datasets.split import split
from inhouse.datasets.synthesize import from_documents, from_teacher
from inhouse.errors import InputError
from inhouse.files import write_text
from inhouse.privacy.anonymize import Anonymizer
from inhouse.text.cache import Remembering
from inhouse.types import Checks, Document, Embedder, Example, Json, Progress, Review, Step, digest_of

CACHE = "anonymized.jsonl"
AT_ONCE = 32


def curate(
    documents: Sequence[Document],
    conversations: Sequence[Path],
    tests: Sequence[Path],
    settings: Curation,
    handoff: str,
    seed: int,
    embedder: Embedder,
    anonymizer: Anonymizer | None,
    teacher: tuple[ChatModel, int] | None,
    out: Path,
    progress: Progress,
    feedback: Sequence[Example] = (),
    reviews: Mapping[str, Review] = MappingProxyType({}),
) -> dict[str, Json]:
    """Writes train.jsonl, validation.jsonl, test.jsonl, removed.jsonl, card.json and card.md into `out`.

    `tests` are the user's own test files; without them a share of the conversations is held out. Without `anonymizer`
    personal data is kept. `teacher` is a model that writes more pairs, and how many a section. Rows whose reply is
    `handoff` count as unanswerable. `feedback` are replies that reviewers approved; they count as conversations.
    `reviews` are laid over all of it, and what they edit is anonymized like the rest. An interrupted run goes on from
    what it anonymized in `out`.
    Returns facts for the artifact: sizes of the sets, and counts of what was left out.

    Raises:
        InputError: a file cannot be read, or nothing is left to train on.
        BackendError: the teacher does not answer.
    """
    logs, bad_lines = read_conversations(conversations, settings.where)
    own_tests, bad_tests = read_tests(tests, settings.where)
    logs, own_tests = reviewed([*logs, *feedback], reviews), reviewed(own_tests, reviews)
    rejected = [*bad_lines, *bad_tests]
    personal: Counter[str] = Counter()
    unfit: Counter[str] = Counter()
    out.mkdir(parents=True, exist_ok=True)
    if anonymizer:
        _prepare(anonymizer, documents, logs)
        done = _Anonymized(out / CACHE, anonymizer, personal)
        with progress.step("replace personal data", len(logs) + len(own_tests)) as step:
            logs, own_tests = done.all(logs, step), done.all(own_tests, step)
    made = from_documents(documents) if settings.synthesize else []
    if teacher:
        taught, unfit = asyncio.run(from_teacher(documents, *teacher, progress))
        made += taught
    made = reviewed(made, reviews)
    read: dict[str, Json] = {
        "conversations": len(logs),
        "own_tests": len(own_tests),
        "pairs_from_documents": len(made),
        "pairs_of_the_teacher_refused": dict(unfit),
        "documents_left_out_as_restricted": sum(bool(d.access) for d in documents),
        "lines_left_out": len(rejected),
    }
    embedder = Remembering(embedder)
    sets, removed, found = _selected(
        [*(_marked(e, handoff) for e in logs), *made], own_tests, settings, seed, embedder, handoff, reviews, progress
    )
    facts = card(sets, read, rejected, removed, found, personal, embedder, seed)
    _write(out, sets, [{"step": "read", **r.model_dump()} for r in rejected], removed, facts)
    counts = {"lines_left_out": len(rejected), "personal_data": personal.total(), "leaks": len(found)}
    return {n: len(rows) for n, rows in sets.items()} | {"removed": dict(Counter(r.step for r in removed))} | counts


def _write(
    out: Path,
    sets: Mapping[str, Sequence[Example]],
    lines: Sequence[Json],
    removed: Sequence[Removed],
    facts: Mapping[str, Json],
) -> None:
    for name, examples in sets.items():
        write_rows(out / f"{name}.jsonl", (e.to_openai() for e in examples))
    rows = [{"step": r.step, "reason": r.reason, **r.example.to_openai()} for r in removed]
    write_rows(out / "removed.jsonl", [*lines, *rows])
    write_text(out / "card.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    write_text(out / "card.md", markdown(facts))
    (out / CACHE).unlink(missing_ok=True)


def read_examples(path: Path) -> list[Example]:
    """The examples of a file that `curate` wrote.

    Raises:
        InputError: the file is missing or a line of it is not an example.
    """
    found: list[Example] = []
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                found.append(Example.from_openai(json.loads(line)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "`inhouse curate` writes it") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path}:{number}: not an example ({type(error).__name__})", "`inhouse curate` writes it"
        ) from error
    return found


def _prepare(anonymizer: Anonymizer, documents: Sequence[Document], logs: Sequence[Example]) -> None:
    anonymizer.keep(d.title for d in documents)
    public = [d.text for d in documents if not d.access]
    anonymizer.learn(public, (m.content for e in logs for m in e.messages))


def _marked(example: Example, handoff: str) -> Example:
    declined = bool(handoff) and example.target.strip() == handoff.strip()
    return example.model_copy(update={"answerable": False}) if declined else example


def _selected(
    candidates: Sequence[Example],
    own_tests: Sequence[Example],
    settings: Curation,
    seed: int,
    embedder: Embedder,
    handoff: str,
    reviews: Mapping[str, Review],
    progress: Progress,
) -> tuple[dict[str, list[Example]], list[Removed], list[Leak]]:
    """The three sets, what was left out, and what stood in the test too."""
    removed: list[Removed] = []
    with progress.step("quality, duplicates, split, leaks", 4) as step:
        candidates = _without(candidates, refused(candidates, reviews), "review", removed)
        own_tests = _without(own_tests, refused(own_tests, reviews), "review", removed)
        bad = {n: why for n, why in faults(candidates, settings).items() if not approved(candidates[n], reviews)}
        kept = _without(candidates, bad, "quality", removed)
        step.advance()
        same = duplicates(kept, embedder, settings.duplicate)
        kept = _without(kept, {n: how for n, (_, how) in same.items()}, "duplicate", removed)
        step.advance()
        sets = split(kept, own_tests, settings, seed)
        if not own_tests and handoff:
            declined = Checks(must_not_answer=True)
            sets["test"] = [e if e.answerable else e.model_copy(update={"checks": declined}) for e in sets["test"]]
        step.advance()
        found: list[Leak] = []
        for part in ("train", "validation"):
            seen = leaks(sets["test"], sets[part], part, embedder, settings.leak)
            sets[part] = _without(sets[part], dict.fromkeys(seen, "also asked in the test"), "leak", removed)
            found += seen.values()
        step.advance()
    if not sets["train"]:
        why = "; ".join(f"{r}: {n}" for r, n in Counter(r.reason for r in removed).most_common(3))
        raise InputError(f"no example is left to train on ({why})", "give more conversations, or loosen [curation]")
    return sets, removed, found


def _without(rows: Sequence[Example], reasons: Mapping[int, str], step: str, removed: list[Removed]) -> list[Example]:
    removed += (Removed(step=step, reason=reason, example=rows[n]) for n, reason in sorted(reasons.items()))
    return [e for n, e in enumerate(rows) if n not in reasons]


class _Anonymized:
    """Anonymized conversations, kept in a file so that an interrupted run goes on; no raw text stands in it.

    A row is found by the hash of its raw conversation as a whole.
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
