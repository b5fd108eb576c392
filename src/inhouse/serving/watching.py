"""`inhouse watch`: looks at documents and traffic, makes a new index or a build, and stops where a person decides.

One job at a time, under a lock that the system frees when the process ends. Each step is in the store before the next
begins, and stages keep what they made, so a watch that was killed continues with the same job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inhouse.assembly.workspace import Workspace
from inhouse.errors import ConfigError, GateError, InhouseError, InputError
from inhouse.monitoring.retests import Retest
from inhouse.serving import drift, occasions
from inhouse.serving.occasions import ABOUT, MARKED, Estimated, earlier
from inhouse.serving.reindex import (
    Compares,
    Fresh,
    Makes,
    content_in,
    content_now,
    content_of,
    look,
    named,
    refresh,
    release_over,
)
from inhouse.serving.releases import Releases, label
from inhouse.serving.retest import reads, retested
from inhouse.serving.watched import Job, Memory, Pending, State, Waiting, asked_for, now
from inhouse.store.actions import Actor, acting, actor
from inhouse.store.audit import Audit
from inhouse.store.signals import Signals
from inhouse.types import Artifact, Json, Release

AGAIN = "inhouse watch build"
MOST_LOOKS = 12  # at a folder that is being written to


@dataclass(frozen=True)
class Stages:
    """What makes an index, and a whole build with its verdict, and compares releases: all in child processes."""

    index: Makes
    build: Makes
    compare: Compares = retested


class Watch:
    """The watch over a project.

    Args:
        workspace: the project.
        stages: make what is needed.
        say: told what happens, a line each.
        alert: told what newly waits for a person, or failed.
        estimated: how accurate live answers are; None where nothing can say.
    """

    def __init__(
        self, workspace: Workspace, stages: Stages, say: Callable[[str], None] = lambda line: None,
        alert: Callable[[Waiting], None] = lambda waiting: None, estimated: Estimated | None = None,
    ) -> None:  # fmt: skip
        self._workspace, self._stages, self._say, self._alert = workspace, stages, say, alert
        self._estimated = estimated
        self._settings = workspace.project.watch
        self._releases, self._memory = Releases(workspace), Memory(workspace.store.root)

    def run(self) -> None:
        """Looks again and again, until the process is told to stop.

        Raises:
            BackendError: another watch runs.
        """
        with self._memory.held(), acting(_watch()):
            while True:
                try:
                    self._look()
                except InhouseError as error:  # a database or a disk that is away: the next look may find it again
                    self._say(f"error: {error}" + (f" ({error.hint})" if error.hint else ""))
                time.sleep(self._settings.documents_every_s)

    def once(self) -> State:
        """Looks once, and does what is to be done.

        Raises:
            BackendError: another watch runs.
            InputError: no release is in production.
        """
        with self._memory.held(), acting(_watch()):
            self._look(decides=True)
            return self._memory.read()

    def accept(self) -> Release:
        """Releases and promotes the index that waits, although its test shows that answers get worse.

        Raises:
            InputError: none waits.
        """
        with self._memory.held():
            state = self._memory.read()
            waiting = next((w for w in state.waiting if w.kind == "index" and w.test), None)
            if waiting is None:
                raise InputError("no index waits for a person", "`inhouse watch status` shows what does")
            store, production = self._workspace.store, self._releases.get("production")
            test, index = store.open("retest", waiting.test), store.open("index", waiting.index)
            retest = Retest.read(Path(test.path))
            fresh = Fresh(index, test, retest, retest.rules(self._settings.tolerance))
            release = release_over(self._releases, production, fresh, accepted=actor().name)
            self._releases.promote(label(release))
            self._act("watch accepted", {"release": label(release), "test": retest.text})
            self._memory.write(state.without("index"))
            return release

    def build(self, why: str) -> State:
        """Builds now, whatever it costs, because a person says so."""
        with self._memory.held(), acting(_watch()):
            self._build(self._memory.read(), why)
            return self._memory.read()

    # --- one look -----------------------------------------------------------------------------------------------

    def _look(self, decides: bool = False) -> None:
        self._releases.get("production")  # or there is nothing to watch
        state = self._memory.read()
        if state.job and state.job.kind == "build":
            self._say(f"continuing with the build of {state.job.started_at[:16]}: {state.job.why}")
            state = self._build(state, state.job.why)
        state = self._promote_canary(state)
        production = self._releases.get("production")
        state = self._built_by_hand(state, production)
        if "documents" in self._settings.triggers and reads(production):
            state = self._documents(state, production)
        due = state.decided_at < earlier(now(), self._settings.every_minutes / 1440)
        if decides or due:
            self._decide(self._drift(state))

    def _documents(self, state: State, production: Release) -> State:
        """Indexes changed documents; a change that was tried already is not tried again, also if a person has taken its
        release back."""
        state = self._content(state)
        if state.content == content_of(self._workspace, production):
            if state.tried != state.content or state.job:
                update = {"tried": state.content, "job": None}
                state = self._memory.write(state.without("index", "failed").model_copy(update=update))
            return state
        if state.canary and state.content == content_of(self._workspace, self._releases.get(state.canary.release)):
            return state  # its canary has them already
        if state.content == state.tried and not self._unblocked(state):
            return state
        return self._index(state, production)

    def _unblocked(self, state: State) -> bool:
        """Whether an index that passed its test waits only for a canary or an experiment that has ended."""
        serving = self._releases.serving()
        waits = any(w.kind == "index" and w.release for w in state.waiting)
        return waits and self._settings.index == "automatic" and not serving.canary and not serving.experiment

    def _content(self, state: State) -> State:
        """The documents as they are now, once nothing writes to the folder any more."""
        folder = self._workspace.project.path(self._workspace.project.documents.path)
        glance, files = look(folder), ""
        for _ in range(MOST_LOOKS):
            if glance == state.glance:
                files = str(state.content.get("content", ""))
                break
            time.sleep(self._settings.documents_every_s)
            before, glance = glance, look(folder)
            if glance == before:
                break
        else:
            self._say("the documents folder is being written to; looking again later")
            return state
        content = content_now(self._workspace, files)
        if (content, glance) == (state.content, state.glance):
            return state
        return self._memory.write(state.model_copy(update={"content": content, "glance": glance, "looked_at": now()}))

    # --- a new index --------------------------------------------------------------------------------------------

    def _index(self, state: State, production: Release) -> State:
        """A new index, tested; promoted if nothing gets worse and the project allows it."""
        job = Job(kind="index", started_at=now(), why="documents changed")
        state = self._memory.write(state.model_copy(update={"job": job}))
        self._say("documents changed: making a new index")
        try:
            fresh = refresh(self._workspace, production, self._stages.index, self._stages.compare, self._step)
        except InhouseError as error:
            return self._failed(state, "the new index", error, tried=state.content)
        tried = self._content_in(fresh.index)
        changed = tuple(sorted({*state.changed, *fresh.retest.changed}))
        state = state.model_copy(update={"tried": tried, "job": None, "changed": changed}).without("failed")
        if fresh.index.key == production.index or not fresh.retest.changed:
            self._say("no document says anything else than before")
            return self._memory.write(state)
        for rule in fresh.rules:
            self._say(f"  {'ok ' if rule.passed else 'NOT'} {rule.text}")
        state = self._memory.write(self._settle(state, production, fresh))
        return self._references(state, fresh)

    def _settle(self, state: State, production: Release, fresh: Fresh) -> State:
        """Promotes the index, or has it wait for a person."""
        about = f"{named(fresh.retest.changed)} changed; {fresh.retest.text}"
        if not fresh.passed:
            why = "; ".join(rule.text for rule in fresh.rules if not rule.passed)
            command = "inhouse watch accept"
            return self._wait(state, Waiting(
                kind="index", at=now(), text=f"{about}. Not released: {why}", command=command, test=fresh.test.key,
                index=fresh.index.key, questions=tuple(row.question for row in fresh.retest.worse),
            ))  # fmt: skip
        release = release_over(self._releases, production, fresh)
        serving = self._releases.serving()
        blocked = "a canary is live" if serving.canary else "an experiment is live" if serving.experiment else ""
        if serving.production != label(production):
            blocked = f"{serving.production} was promoted meanwhile"
        if self._settings.index == "person" or blocked:
            command = f"inhouse release promote {release.version}"
            text = f"{about}. Release {label(release)} waits" + (f": {blocked}" if blocked else "")
            return self._wait(state, Waiting(
                kind="index", at=now(), text=text, command=command, release=label(release)
            ))  # fmt: skip
        self._releases.promote(label(release))
        self._act("watch indexed", {"release": label(release), "changed": list(fresh.retest.changed)[:50]})
        self._say(f"{label(release)} is in production: {about}")
        return state.without("index").model_copy(update={"indexed": state.indexed + 1})

    def _references(self, state: State, fresh: Fresh) -> State:
        """Asks for new references of questions whose old ones are outdated."""
        questions = tuple(dict.fromkeys(row.question for row in fresh.retest.outdated))
        if not questions:
            return state
        text = f"{len(questions)} test questions have references that the documents no longer support"
        command = "correct the references in the files of curation.tests"
        return self._memory.write(
            self._wait(state, Waiting(kind="references", at=now(), text=text, command=command, questions=questions))
        )

    def _content_in(self, index: Artifact) -> dict[str, Json]:
        return content_in(self._workspace, self._workspace.store.open("documents", index.parents[0]))

    # --- drift --------------------------------------------------------------------------------------------------

    def _drift(self, state: State) -> State:
        """Looks for drift, once in a while; alarms wait for a person, who is told of each once."""
        days, at = self._settings.drift_days, now()
        if not days or state.drifted_at >= earlier(at, days):
            return state
        state = state.model_copy(update={"drifted_at": at})
        try:
            report = drift.look(self._workspace).report
        except InhouseError as error:  # the decision does not depend on it
            self._say(f"drift was not looked at: {error}")
            return self._memory.write(state)
        if not report.alarms:
            return self._memory.write(state.without("drift"))
        return self._memory.write(self._wait(state, drift.waiting_for(report)))

    # --- a build ------------------------------------------------------------------------------------------------

    def _decide(self, state: State) -> State:
        """Decides whether to build, and builds if so."""
        production, at = self._releases.get("production"), now()
        found = occasions.look(self._workspace, production, state, at, self._estimated)
        decision, seen = found
        history = (*state.history, *([seen] if seen else ()))
        state = self._memory.write(
            state.model_copy(update={"decided_at": at, "decision": decision, "history": history})
        )
        if self._memory.note(decision):
            self._say(decision.text)
        if questions := asked_for(tuple(t for t in decision.triggers if t.kind == "topic")):
            text = next(t.text for t in decision.triggers if t.kind == "topic")
            command = "answer them in the inbox of the console, and approve the replies"
            state = self._memory.write(
                self._wait(state, Waiting(kind="labels", at=at, text=text, command=command, questions=questions))
            )
        else:
            state = self._memory.write(state.without("labels"))
        pending = state.canary or any(w.kind in ("release", "build") for w in state.waiting)
        if decision.action == "build" and pending:
            self._say("the last build still waits, so no other one begins")
        elif decision.action == "build":
            state = self._build(state, decision.reason)
        return state

    def _build(self, state: State, why: str) -> State:
        """A build with its verdict, compared with production question by question, up to the release gate."""
        job = state.job or Job(kind="build", started_at=now(), why=why)
        state = self._memory.write(state.model_copy(update={"job": job}))
        self._say(f"building: {why}")
        try:
            report = self._stages.build(self._workspace)
            self._step("releasing")
            release = self._releases.make()
        except GateError as error:
            self._say(f"refused: {error}")
            state = self._built(state, self._workspace.store.latest("report")).done()
            return self._memory.write(self._wait(
                state, Waiting(kind="build", at=now(), text=str(error), command=AGAIN)
            ))  # fmt: skip
        except InhouseError as error:
            return self._failed(state, "the build", error, kind="build")
        state = self._built(state, report)
        production = self._releases.get("production")
        if label(release) == label(production):
            self._say("nothing to build: the release in production is made from the same")
            return self._memory.write(state.done())
        try:
            test = self._stages.compare(self._workspace, production, release, whole=True)
        except InhouseError as error:
            what = f"the comparison of {label(release)} with {label(production)}"
            return self._failed(state, what, error, kind="build")
        retest = Retest.read(Path(test.path))
        self._say(retest.text)
        for sign, rows in (("better", retest.better), ("worse", retest.worse)):
            for row in rows:
                self._say(f"  {sign}: {row.question[:100]} ({row.before.outcome} -> {row.after.outcome})")
        self._act("watch built", {"release": label(release), "why": why, "test": retest.text})
        return self._memory.write(self._offer(state, release, test, retest).done())

    def _offer(self, state: State, release: Release, test: Artifact, retest: Retest) -> State:
        """The gate: a person promotes the release, or it becomes a canary, unless more got worse than better."""
        serving, automatic = self._releases.serving(), self._settings.promote == "automatic"
        against = [rule.text for rule in retest.rules(self._settings.tolerance) if not rule.passed] if automatic else []
        if automatic and not against and not serving.canary and not serving.experiment:
            self._releases.canary(self._settings.canary_percent, label(release))
            until = earlier(now(), -self._settings.canary_hours / 24)
            self._say(
                f"{label(release)} is a canary for {self._settings.canary_percent:g}% of users until {until[:16]}"
            )
            return state.model_copy(update={"canary": Pending(release=label(release), until=until)})
        text = f"{label(release)} passed the gate. {retest.text}"
        command = f"inhouse release promote {release.version}"
        if against:
            text += f". No automatic canary: {'; '.join(against)}"
            command = f"inhouse release canary {self._settings.canary_percent:g}% {release.version}"
        return self._wait(state, Waiting(
            kind="release", at=now(), text=text, command=command, release=label(release), test=test.key,
            questions=tuple(row.question for row in retest.worse),
        ))  # fmt: skip

    def _built(self, state: State, report: Artifact | None) -> State:
        """After a build: its time, and a new beginning for what is counted since. The job ends with its offer."""
        lineage = {a.key: a.seconds for _, a in self._workspace.store.lineage(report)} if report else {}
        loss = state.decision.loss.mean if state.decision and state.decision.loss else 0.0
        cycle = tuple(s.model_copy(update={"loss": s.loss - state.left}) for s in state.history)
        begun = state.job.started_at if state.job else report.made_at if report else now()
        return self._memory.write(state.model_copy(update={
            "built_at": now(), "built_from": begun, "report": report.key if report else state.report,
            "build_minutes": sum(lineage.values()) / 60, "history": (), "changed": (),
            "cycles": (*state.cycles, *([cycle] if cycle else [])), "left": (1 - self._settings.mends) * loss,
            "indexed": 0,
        }).without("build", "release", "references", "labels"))  # fmt: skip

    def _built_by_hand(self, state: State, production: Release) -> State:
        """A build that a person made and promoted counts as one."""
        if not state.report:
            return self._memory.write(state.model_copy(update={"report": production.report}))
        known, report = (self._workspace.store.open("report", key) for key in (state.report, production.report))
        return self._built(state, report) if report.made_at > known.made_at else state

    def _promote_canary(self, state: State) -> State:
        """Promotes a canary of the watch whose time is over; one that was rolled back waits for a person."""
        pending, serving = state.canary, self._releases.serving()
        if pending is None:
            waits = [w for w in state.waiting if w.release and w.release == serving.production]
            return self._memory.write(state.without(*(w.kind for w in waits))) if waits else state
        if serving.production == pending.release:
            return self._memory.write(state.model_copy(update={"canary": None}))
        if serving.canary is None or serving.canary.release != pending.release:
            text = f"{pending.release} was a canary, and was rolled back"
            state = self._wait(state.model_copy(update={"canary": None}), Waiting(
                kind="release", at=now(), text=text, command=f"inhouse release show {pending.release}"
            ))  # fmt: skip
            return self._memory.write(state)
        if now() < pending.until:
            return state
        since = earlier(pending.until, self._settings.canary_hours / 24)
        with self._workspace.ledger() as ledger:
            answers = sum(s.release == pending.release for s in Signals(ledger).rows(since, now()))
        if answers < self._settings.canary_answers:
            text = f"{pending.release} stays a canary: it gave fewer than {self._settings.canary_answers} answers"
            command = f"inhouse release promote {pending.release.rpartition('/')[2]}"
            waiting = Waiting(kind="release", at=now(), text=text, command=command, release=pending.release)
            return self._memory.write(self._wait(state, waiting))
        self._releases.promote(pending.release)
        self._say(f"{pending.release} is in production: nothing spoke against it as a canary")
        return self._memory.write(state.model_copy(update={"canary": None}).without("release"))

    # --- what all steps share -----------------------------------------------------------------------------------

    def _step(self, step: str) -> None:
        state = self._memory.read()
        if state.job:
            self._memory.write(state.model_copy(update={"job": state.job.model_copy(update={"step": step})}))
        self._say(f"  {step}")

    def _failed(
        self, state: State, what: str, error: InhouseError, tried: Mapping[str, Json] | None = None,
        kind: Literal["failed", "build"] = "failed",
    ) -> State:  # fmt: skip
        """A job that failed waits for a person; the same change is not tried again, and no other build begins."""
        text = f"{what} failed: {error}" + (f" ({error.hint})" if error.hint else "")
        self._act("watch failed", {"what": what, "error": str(error)[:500]})
        update: dict[str, Json] = {"job": None} | ({"tried": tried} if tried is not None else {})
        command = AGAIN if kind == "build" else "inhouse index"
        waiting = Waiting(kind=kind, at=now(), text=text, command=command)
        return self._memory.write(self._wait(state.model_copy(update=update), waiting))

    def _wait(self, state: State, waiting: Waiting) -> State:
        """Has something wait for a person, who is told once: not again when only figures are others."""
        if known := next((w for w in state.waiting if w.same(waiting)), None):
            return state.with_waiting(waiting.model_copy(update={"at": known.at}))
        self._say(f"waits for a person: {waiting.text}. {waiting.command}")
        self._act("watch waits", {"what": waiting.kind, "text": waiting.text[:500]})
        try:
            self._alert(waiting)
        except InhouseError as error:  # what waits is kept and shown all the same
            self._say(f"no alert of it: {error}")
        return state.with_waiting(waiting)

    def _act(self, what: str, facts: dict[str, Json]) -> None:
        with self._workspace.ledger() as ledger:
            Audit(ledger).act(what, ABOUT, facts)


def mark(workspace: Workspace, text: str) -> int:
    """A person marks a change that a build has to learn, such as a regulator's; returns the number of the action.

    Raises:
        ConfigError: the text is empty.
    """
    if not text.strip():
        raise ConfigError("the mark has no text", 'say what changed: inhouse watch mark "..."')
    with workspace.ledger() as ledger:
        return Audit(ledger).act(MARKED, ABOUT, {"text": text.strip()[:1000]})


def _watch() -> Actor:
    """The watch, with the user that runs it."""
    who = actor()
    return Actor(id=who.id, name=f"watch ({who.name})", at=who.at)
