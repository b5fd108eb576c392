"""What `inhouse watch` remembers in the store: its job, what waits for a person, and its decisions.

`state.json` is replaced as a whole after each step, so that a watch which was killed continues with the same job.
`decisions.jsonl` has every decision that differs from the one before it, and one a day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from inhouse.errors import BackendError
from inhouse.files import write_text
from inhouse.monitoring.triggers import Decision, Seen, Trigger
from inhouse.store.artifacts import locked
from inhouse.types import Digest, Json, Record

FOLDER, STATE, DECISIONS, LOCK = "watch", "state.json", "decisions.jsonl", "watch"
MOST_ASKED = 50
LIVE = ("labels", "drift")  # kinds whose texts have figures of live traffic
NO_DIGITS = str.maketrans("", "", "0123456789.,+-")


class Job(Record):
    """What the watch is doing: a new index, or a build. `release` is the one that a build made."""

    kind: Literal["index", "build"]
    started_at: str
    why: str
    step: str = ""
    release: str = ""
    failed: str = ""


class Waiting(Record):
    """What waits for a person: what it is about, why, and the command that goes on.

    `labels` are questions to answer in the inbox, and `references` those of tests that are outdated. `failed` is an
    index that could not be made, `build` a build that failed or that the gate refused, and `drift` has the alarms of
    the last look.
    """

    kind: Literal["index", "release", "labels", "references", "failed", "build", "drift"]
    at: str
    text: str
    command: str = ""
    release: str = ""
    test: Digest = ""  # of the retest
    index: Digest = ""
    questions: tuple[str, ...] = ()

    def same(self, other: Waiting) -> bool:
        """Whether both ask a person for the same. Figures of traffic change with each look."""
        texts = [w.text.translate(NO_DIGITS) if w.kind in LIVE else w.text for w in (self, other)]
        return self.kind == other.kind and texts[0] == texts[1]


class Pending(Record):
    """A canary that the watch started: when it is to be promoted."""

    release: str
    until: str


class State(Record):
    """The whole state.

    `glance` is how the documents folder looked when its `content` was read last. `tried` is the content of the last
    index that was made, whatever became of it. `history` and `cycles` are estimates of the loss since the last build,
    and between earlier ones; `left` is what the last build is expected to have left.
    """

    looked_at: str = ""
    glance: str = ""
    content: Mapping[str, Json] = {}
    tried: Mapping[str, Json] = {}
    job: Job | None = None
    waiting: tuple[Waiting, ...] = ()
    canary: Pending | None = None
    built_at: str = ""
    built_from: str = ""  # when the last build began: what was marked since is not in it
    report: Digest = ""  # of the last build that is known
    build_minutes: float = 0.0
    decided_at: str = ""
    drifted_at: str = ""  # the last look at drift
    decision: Decision | None = None
    history: tuple[Seen, ...] = ()
    cycles: tuple[tuple[Seen, ...], ...] = ()
    left: float = 0.0
    indexed: int = 0  # indexes that were promoted since the last build
    changed: tuple[str, ...] = ()  # documents since the last build

    def with_waiting(self, *found: Waiting) -> State:
        """With these in the place of what waited of the same kinds."""
        kinds = {w.kind for w in found}
        return self.model_copy(update={"waiting": (*(w for w in self.waiting if w.kind not in kinds), *found)})

    def done(self) -> State:
        """Without a job."""
        return self.model_copy(update={"job": None})

    def without(self, *kinds: str) -> State:
        return self.model_copy(update={"waiting": tuple(w for w in self.waiting if w.kind not in kinds)})


def in_words(state: State) -> str:
    """What the watch does now, or decided last; "" before its first look."""
    if job := state.job:
        what = "a new index" if job.kind == "index" else "a build"
        return f"Makes {what} since {utc(job.started_at)}, {job.step or 'begun'}: {job.why}"
    if state.canary:
        return f"{state.canary.release} is a canary until {utc(state.canary.until)}"
    return f"Decided {utc(state.decision.at)}: {state.decision.text}" if state.decision else ""


def utc(at: str) -> str:
    return at[:16].replace("T", " ") + " UTC" if at else "never"


class Memory:
    """The state in a store. Only the watch that holds the lock may write."""

    def __init__(self, root: Path) -> None:
        self._root, self._folder = root, root / FOLDER

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock of the watch; the system frees it when the process ends, however it ends.

        Raises:
            BackendError: another watch of this project runs.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self._root / "locks" / LOCK))
            except BackendError as error:
                if isinstance(error.__cause__, BlockingIOError):
                    hint = "`inhouse watch status` shows what it does; stop it before you start another"
                    raise BackendError("another `inhouse watch` of this project runs", hint) from error
                raise
            yield

    def read(self) -> State:
        """
        Raises:
            BackendError: the file is damaged.
        """
        file = self._folder / STATE
        try:
            return State.model_validate_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return State()
        except (ValidationError, ValueError) as error:
            hint = "delete it: the next look finds out what is to be done, but not what earlier builds have shown"
            raise BackendError(f"{file}: damaged or of another version", hint) from error

    def write(self, state: State) -> State:
        write_text(self._folder / STATE, state.model_dump_json(indent=1), 0o600)
        return state

    def note(self, decision: Decision) -> bool:
        """Keeps a decision, unless it says the same as the last one of this day; whether it did."""
        file, last = self._folder / DECISIONS, self.decisions(1)
        if last and _same(last[0], decision):
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(decision.model_dump_json() + "\n")
        return True

    def decisions(self, most: int) -> list[Decision]:
        """The last decisions, newest first; a line that a crash cut off is skipped."""
        try:
            lines = (self._folder / DECISIONS).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in reversed(lines):
            with suppress(ValidationError, json.JSONDecodeError):
                found.append(Decision.model_validate_json(line))
            if len(found) == most:
                break
        return found


def _same(last: Decision, now: Decision) -> bool:
    kinds = [tuple(sorted((t.kind, t.text) for t in d.triggers)) for d in (last, now)]
    recent = datetime.fromisoformat(now.at) - datetime.fromisoformat(last.at) < timedelta(days=1)
    return recent and kinds[0] == kinds[1] and last.action == now.action


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def days_between(since: str, until: str) -> float:
    """Days from one ISO 8601 time to another, at least 0."""
    return max((datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds() / 86400, 0.0)


def asked_for(triggers: tuple[Trigger, ...]) -> tuple[str, ...]:
    """The questions of triggers that a person is to answer, each once."""
    return tuple(dict.fromkeys(q for t in triggers for q in t.questions))[:MOST_ASKED]
