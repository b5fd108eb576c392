"""Releases: what may be served, immutable, and which of them is served now.

A release is an artifact that names its verdict, the artifacts that its arm needs, and the settings that the verdict was
measured with. It is made only if the gate in the project file, [release], passes. What is served is one small file,
replaced as a whole under a lock, so a rollback is as quick as a promotion and builds nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from inhouse.assembly.arms import EXPERTS, RETRIEVING, trained_kind
from inhouse.assembly.workspace import Workspace
from inhouse.errors import BackendError, ConfigError, GateError, InputError
from inhouse.files import SUFFIX, write_text
from inhouse.guardrails.classifier import FOLDER as CLASSIFIERS
from inhouse.monitoring.experiments import Experiment, Results, examine
from inhouse.serving.gate import certificate_rule, gate_rules
from inhouse.serving.pins import Checked, check, pins
from inhouse.serving.state import Canary, Serving, Step
from inhouse.serving.versions import checked, few_shot_rows, measured, release_of, slug
from inhouse.store.actions import state_of
from inhouse.store.artifacts import locked, source_digest
from inhouse.store.audit import Audit
from inhouse.types import Artifact, Json, Release, digest_of, unknown_key
from inhouse.verdict import PAGE, Report

FILE = "serving.json"
NEXT = "serving.next.json"  # what FILE becomes once the change is recorded
MADE = "release.next.json"  # what becomes a release once it is recorded
ABOUT = "releases"  # of actions on them
# Settings of the verdict that answers depend on.
MEASURED = ("name", "assistant", "replies", "model", "retrieval", "guardrails")
OF_THE_SERVER = (
    "assistant.max_tokens", "model.parallel", "model.usd_per_hour", "model.engine_url", "model.engine_key_env",
)  # fmt: skip  # it uses its own values of these
NEWEST = ""


def fixed(settings: Sequence[str]) -> list[str]:
    """The keys of KEY=VALUE settings that a release has from when it was made, so that a server cannot change them."""
    keys = [text.partition("=")[0].strip() for text in settings]
    return [key for key in keys if key.partition(".")[0] in MEASURED and key not in OF_THE_SERVER]


def label(release: Release) -> str:
    """The release's name with its version, as requests and notes have it."""
    return f"{release.name}/{release.version}"


class Releases:
    """The releases of a project, and which of them is served."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._store = workspace.store

    # --- making -------------------------------------------------------------------------------------------------

    def make(self) -> Release:
        """Makes the release of the latest verdict; the same verdict with the same settings gives the same release.

        Raises:
            InputError: there is no verdict yet.
            GateError: a rule of the gate does not hold; says which, with the figures.
        """
        project = self._workspace.project
        name = checked(project.release.name or slug(project.name))
        verdict = self._store.latest("report")
        if verdict is None:
            raise InputError("there is no verdict to release", "`inhouse build` makes one")
        arm = project.release.arm or str(verdict.facts["recommended"] or "base")
        gate = gate_rules(Report.read(Path(verdict.path)), arm, project)
        if arm == "cascade":
            gate.append(certificate_rule(self._store.lineage(verdict), self._workspace))
        if failed := [rule.text for rule in gate if not rule.passed]:
            hint = f"[release] in the project file sets the gate; the verdict is {verdict.path}/{PAGE}"
            raise GateError(f"release refused: {'; '.join(failed)}", hint)
        content = self._content(name, arm, verdict) | {"gate": [rule.model_dump() for rule in gate]}
        content["pins"] = self.pins(verdict, content["settings"])
        return self.number(content, {"arm": arm, "verdict": verdict.key})

    def number(self, content: dict[str, Json], facts: Mapping[str, Json]) -> Release:
        """The release with this content, and the next number; or the one that has the same content already."""
        with locked(self._store.root / "locks" / "releases", wait=True):
            self._finish_making()
            releases = self.all()
            if same := [r for r in releases if content.items() <= r.model_dump(mode="json").items()]:
                return same[-1]
            version = max((r.version for r in releases), default=0) + 1
            made, row = content | {"version": version, "made_at": _now()}, f"{content['name']}/{version}"
            write_text(self._store.root / MADE, json.dumps(made, ensure_ascii=False), 0o600)
            self._record("release made", {"release": row, **facts}, {"release": {row: made}})
            self._keep(made)
        return Release(**made)

    def take(self, made: dict[str, Json]) -> Release:
        """Adds a release that another store made, whose artifacts are in this one.

        Raises:
            GateError: there is another one of that name and version.
        """
        release = Release(**made)
        with locked(self._store.root / "locks" / "releases", wait=True):
            self._finish_making()
            same = [r for r in self.all() if label(r) == label(release)]
            if same and same[0] != release:
                hint = "copy the exported folder to a new place on this device"
                raise GateError(f"{label(release)} differs from the release of that name here", hint)
            if not same:
                write_text(self._store.root / MADE, json.dumps(made, ensure_ascii=False), 0o600)
                self._record("release received", {"release": label(release)}, {"release": {label(release): made}})
                self._keep(made)
        return release

    def _keep(self, made: dict[str, Json]) -> None:
        """Makes the artifact of a release that is recorded."""
        kind = "retest" if made.get("retest") else "report"
        verdict = self._store.open(kind, made[kind])
        parents = [a for depth, a in self._store.lineage(verdict) if depth <= 1]

        def build(work: Path) -> dict[str, Json]:
            write_text(work / "release.json", json.dumps(made, indent=1, ensure_ascii=False))
            return made

        self._store.make("release", {k: v for k, v in made.items() if k != "made_at"}, parents, build)
        (self._store.root / MADE).unlink(missing_ok=True)

    def _content(self, name: str, arm: str, verdict: Artifact) -> dict[str, Json]:
        """What identifies a release, as JSON."""
        made_from = {a.kind: a for depth, a in self._store.lineage(verdict) if depth == 1}
        keys = {kind: a.key for kind, a in made_from.items()}
        measured = self._store.inputs(verdict)
        if missing := [section for section in MEASURED if section not in measured]:
            text = f"the verdict {verdict.key[:8]} has no [{missing[0]}] settings: an earlier version made it"
            raise InputError(text, "`inhouse evaluate` makes it again")
        settings: dict[str, Json] = {section: measured[section] for section in MEASURED}
        arms = {arm}
        if arm == "cascade":
            fitted = self._store.inputs(self._store.open("cascade", keys["cascade"]))
            settings |= {name: fitted[name] for name in ("cascade", "upstream")}
            arms = {rung["arm"] for rung in fitted["cascade"]["rung"]}
        custom, grounded = trained_kind(arms), not arms.isdisjoint(RETRIEVING)
        if arm == "prompt":
            settings["few_shot"] = few_shot_rows(verdict)
        return {
            "name": name,
            "arm": arm,
            "weights": keys["weights"],
            **({custom: keys[custom]} if custom else {}),
            "folder": keys.get("folder", ""),
            "index": keys["index"] if grounded else "",
            "fusion": keys["fusion"] if grounded else "",
            "calibration": keys.get("calibration", ""),
            "team": keys.get("team", ""),
            "commands": keys.get("commands", ""),
            "experts": keys["experts"] if arm in EXPERTS else "",
            "cascade": keys["cascade"] if arm == "cascade" else "",
            "report": verdict.key,
            "settings": settings,
            "config": digest_of(settings),
            "classifiers": source_digest(CLASSIFIERS),
            "engine": measured.get("engine", ""),
        }

    def pins(self, verdict: Artifact, settings: dict[str, Json]) -> dict[str, Json]:
        """What a release of the verdict pins."""
        sums = self._store.sums()
        made = pins(self._workspace, verdict, measured(self._workspace, "the verdict", settings), sums)
        sums.keep()
        return dict(made)

    # --- finding ------------------------------------------------------------------------------------------------

    def all(self) -> list[Release]:
        """Every release, by version.

        Raises:
            InputError: one is damaged, or another version of inhouse made it.
        """
        return sorted((release_of(a) for a in self._store.all("release")), key=lambda r: r.version)

    def get(self, which: str = NEWEST) -> Release:
        """The release "3", "NAME/3", "production" or "canary"; the newest for "".

        Raises:
            InputError: there is no such release.
        """
        wanted, releases = which, self.all()
        if not releases:
            hint = "`inhouse release` makes one from the verdict of `inhouse build`"
            raise InputError("there is no release yet", hint)
        if which in ("production", "canary"):
            now = self.serving()
            wanted = now.production if which == "production" else now.canary.release if now.canary else ""
            if not wanted:
                command = "promote VERSION" if which == "production" else "canary 10% VERSION"
                raise InputError(f"there is no release in {which}", f"`inhouse release {command}` sets one")
        matching = releases[-1:] if wanted == NEWEST else [r for r in releases if wanted in (str(r.version), label(r))]
        if not matching:
            raise InputError(f"{which}: no such release", f"releases: {', '.join(label(r) for r in releases)}")
        return matching[0]

    def serving(self) -> Serving:
        """What is served now."""
        file = self._store.root / FILE
        try:
            return Serving.model_validate_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Serving()
        except ValueError as error:
            if isinstance(error, ValidationError) and (key := unknown_key(error)):
                problem = f"{file}: this version of inhouse does not know {key}"
                raise BackendError(problem, "install the version that wrote it") from error
            hint = "restore it from a backup, or delete it and promote a release again"
            raise BackendError(f"{file}: damaged ({type(error).__name__})", hint) from error

    def verify(self, which: str = NEWEST) -> list[Checked]:
        """Reads every file that the release pins and compares it with what was measured.

        Raises:
            InputError: there is no such release, or this version does not know its settings.
        """
        release, altered = self.get(which), self.altered()
        if altered:  # its settings may be anything
            return [Checked(name="releases", path=str(self._store.root), problem=altered)]
        sums = self._store.sums(full=True)
        project = measured(self._workspace, f"release {label(release)}", release.settings)
        return check(self._workspace, release, project, sums, every=True)

    # --- what is served -----------------------------------------------------------------------------------------

    def promote(self, which: str = NEWEST) -> Serving:
        """The release answers everyone from now on; a canary ends.

        Raises:
            ConfigError: an experiment is live.
        """
        name = label(self.get(which))

        def change(now: Serving) -> Step | None:
            _refuse_in_experiment(now)
            if now.production == name and not now.canary:
                return None
            earlier = (*now.earlier, now.production) if now.production not in ("", name) else now.earlier
            shadow = None if now.shadow and now.shadow.release == name else now.shadow
            update = {"production": name, "earlier": earlier, "canary": None, "shadow": shadow}
            return Step(now.model_copy(update=update), "promoted", name)

        return self.change(change)

    def canary(self, percent: float, which: str = NEWEST) -> Serving:
        """That share of the users is answered by the release; users stay with it as the share grows.

        Raises:
            ConfigError: the share is not between 0 and 100, the release is in production, or an experiment is live.
        """
        name = label(self.get(which))
        if not 0 < percent < 100:
            raise ConfigError(f"canary of {percent:g}%: not between 0 and 100", "`inhouse release promote` is for all")

        def change(now: Serving) -> Step:
            _refuse_in_experiment(now)
            if not now.production:
                raise ConfigError("a canary needs a release in production beside it", "promote a release first")
            if now.production == name:
                raise ConfigError(f"{name} is in production already", "choose another release for the canary")
            canary = Canary(release=name, percent=percent, since=_now())
            return Step(now.model_copy(update={"canary": canary}), "canary", name)

        return self.change(change)

    def rollback(self) -> Serving:
        """Undoes what users saw last: ends a canary if there is one, else returns to the production before this one.

        An experiment that serves the release which is taken back ends with it.

        Raises:
            InputError: there is no production before this one.
        """

        def change(now: Serving) -> Step:
            if now.canary:
                return Step(now.model_copy(update={"canary": None}), "canary rolled back", now.canary.release)
            if not now.earlier:
                raise InputError("there is no earlier production to return to", "`inhouse release list` shows them all")
            after = now.ended() if now.experiment and now.production in now.experiment.arms else now
            update = {"production": now.earlier[-1], "earlier": now.earlier[:-1]}
            return Step(after.model_copy(update=update), "rolled back", now.production)

        return self.change(change)

    # --- live experiments ---------------------------------------------------------------------------------------

    def start(self, name: str = "", arms: Mapping[str, float] | None = None) -> Serving:
        """Splits users among arms, by default evenly between base and production.

        Raises:
            ConfigError: an experiment or a canary is live, or arms or weights make no split.
        """
        weights = self._weights(arms or {"base": 1.0, "production": 1.0})
        name, metric = name or " against ".join(weights), self._workspace.project.experiment.metric
        if ":" in name:
            raise ConfigError(f"{name!r}: an experiment's name has no colon", "the audit log writes EXPERIMENT:ARM")

        def change(now: Serving) -> Step:
            _refuse_in_experiment(now)
            if now.canary:
                raise ConfigError(f"{now.canary.release} is a canary", "promote it or roll it back first")
            if any(e.name == name for e in now.past):
                raise ConfigError(f"there was an experiment {name!r} already", "choose another --name")
            at = _now()
            experiment = Experiment(name=name, arms=weights, metric=metric, started_at=at, since=at)
            return Step(now.model_copy(update={"experiment": experiment}), "experiment started", name)

        return self.change(change)

    def weights(self, arms: Mapping[str, float]) -> Serving:
        """Other weights for the arms of the live experiment. This reassigns users, so counting starts over."""
        given = self._weights(arms)

        def change(now: Serving) -> Step:
            if given.keys() != now.live.arms.keys():
                hint = "give each of them a weight, 0 for nobody"
                raise ConfigError(f"the arms are {', '.join(now.live.arms)}", hint)
            ordered = {arm: given[arm] for arm in now.live.arms}
            experiment = now.live.model_copy(update={"arms": ordered, "since": _now()})
            return Step(now.model_copy(update={"experiment": experiment}), "weights changed", now.live.name)

        return self.change(change)

    def stop(self) -> Serving:
        """Ends the live experiment: `custom` is production again."""
        return self.change(lambda now: Step(now.ended(), "experiment stopped", now.live.name))

    def experiment(self, name: str = "") -> Experiment:
        """The experiment of that name; for "" the live one, else the canary as one, else the last that ended.

        Raises:
            InputError: there is no such experiment.
        """
        now = self.serving()
        known: list[Experiment] = list(now.past)
        if now.canary:
            known.append(now.canary.experiment(now.production, self._workspace.project.experiment.metric))
        if now.experiment:
            known.append(now.experiment)
        if not known:
            raise InputError("there is no experiment yet", "`inhouse experiment start base=1 production=1` starts one")
        matching = [e for e in known if name in ("", e.name)]
        if not matching:
            raise InputError(f"{name}: no such experiment", f"experiments: {', '.join(e.name for e in known)}")
        return matching[-1]

    def results(self, name: str = "") -> Results:
        """What the experiment of that name shows so far, read from the ledger; see `experiment` for ""."""
        from inhouse.store.traffic import Traffic

        experiment = self.experiment(name)
        with self._workspace.ledger() as ledger:
            return examine(experiment, Traffic(ledger).outcomes(experiment.name))

    def _weights(self, arms: Mapping[str, float]) -> dict[str, float]:
        """Weights by release label or "base".

        Raises:
            ConfigError: fewer than two arms, one twice, or a weight that is not a number from 0.
        """
        weights: dict[str, float] = {}
        for arm, weight in arms.items():
            name = arm if arm == "base" else label(self.get(arm))
            if name in weights:
                raise ConfigError(f"{name} is an arm twice", "name each arm once")
            if not 0 <= weight < float("inf"):
                raise ConfigError(f"{arm}={weight}: not a weight", "a weight is a number, 0 or more")
            weights[name] = weight
        if len(weights) < 2 or not any(weights.values()):
            hint = "for example: base=1 production=1"
            raise ConfigError("an experiment needs two arms or more, one with a weight above 0", hint)
        return weights

    def change(
        self, change: Callable[[Serving], Step | None], what: str = "", more: Mapping[str, Json] | None = None
    ) -> Serving:
        """Writes what `change` makes of what is served now, under a lock; None changes nothing.

        The action that records it is called `what`, by default after the kind of the change, and has the facts `more`.
        """
        with locked(self._store.root / "locks" / "serving", wait=True):
            self._finish()
            now = self.serving()
            step = change(now)
            if step is None:
                return now
            after = step.taken(_now())
            text, last = after.model_dump_json(indent=1), after.history[-1]
            facts = {"what": last.text, "production": last.production, "canary": last.canary, **(more or {})}
            write_text(self._store.root / NEXT, text, 0o600)
            self._record(what or f"release {last.kind}", facts, {"serving": {FILE: json.loads(text)}})
            os.replace(self._store.root / NEXT, self._store.root / FILE)
            return after

    # --- the audit log ------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Finishes a change that was recorded by a process which was killed before it made it."""
        if (self._store.root / NEXT).exists():
            with locked(self._store.root / "locks" / "serving", wait=True):
                self._finish()

    @contextmanager
    def still(self) -> Iterator[dict[str, dict[str, Json]]]:
        """What the audit log has the states of, which nobody changes during the block."""
        locks = self._store.root / "locks"
        with locked(locks / "releases", wait=True), locked(locks / "serving", wait=True):
            self._finish_making()
            self._finish()
            yield self._recorded()

    def altered(self) -> str:
        """What of the releases and of what is served is not as the recorded actions left it, as a sentence; "" if all
        is."""
        with self.still() as tables, self._workspace.ledger() as ledger:
            replay = Audit(ledger).replayed(ABOUT)
        found = replay.difference({name: rows for name, rows in tables.items() if replay.knows(name)})
        return found[1] if found else ""

    def note(self) -> None:
        """Records what there is, unless an action on releases was: an earlier version made it."""
        with self.still() as tables, self._workspace.ledger() as ledger:
            known = Audit(ledger).replayed(ABOUT)
            if tables["release"] and not known.knows("release"):
                self._record("releases found", {}, {})

    def _finish(self) -> None:
        """Finishes a change of what is served that was interrupted after it was recorded; another was not made."""
        if (after := self._interrupted(NEXT)) is None:
            return
        if self._is_recorded("serving", FILE, after):
            os.replace(self._store.root / NEXT, self._store.root / FILE)
        (self._store.root / NEXT).unlink(missing_ok=True)

    def _finish_making(self) -> None:
        """The same for a release."""
        if (made := self._interrupted(MADE)) is None:
            return
        if self._is_recorded("release", f"{made['name']}/{made['version']}", made):
            self._keep(made)
        (self._store.root / MADE).unlink(missing_ok=True)

    def _interrupted(self, name: str) -> Json:
        """What was to be done when the process was killed; None if nothing was."""
        for partial in self._store.root.glob(f".{name}.*{SUFFIX}"):
            partial.unlink(missing_ok=True)
        with suppress(FileNotFoundError, ValueError):
            return json.loads((self._store.root / name).read_text(encoding="utf-8"))
        return None

    def _is_recorded(self, table: str, row: str, value: Json) -> bool:
        with self._workspace.ledger() as ledger:
            return Audit(ledger).replayed(ABOUT).has(table, row, value)

    def _recorded(self) -> dict[str, dict[str, Json]]:
        self.serving()  # refuses a damaged file
        file = self._store.root / FILE
        serving = {FILE: json.loads(file.read_text(encoding="utf-8"))} if file.is_file() else {}
        releases = {f"{a.facts['name']}/{a.facts['version']}": a.facts for a in self._store.all("release")}
        return {"release": dict(releases), "serving": dict(serving)}

    def _record(self, what: str, facts: dict[str, Json], changed: dict[str, dict[str, Json]]) -> None:
        """Records a change before it is made: a change that cannot be recorded is not made.

        The first time, everything else there is gets its state too: an earlier version made it.
        """
        with self._workspace.ledger() as ledger:
            audit = Audit(ledger)
            known = {} if audit.actions(about=ABOUT, limit=1) else self._recorded()
            rows = {table: known.get(table, {}) | changed.get(table, {}) for table in (*known, *changed)}
            states = [state_of(table, row, value) for table, values in rows.items() for row, value in values.items()]
            audit.act(what, ABOUT, facts, states)


# --- names and times --------------------------------------------------------------------------------------------


def _refuse_in_experiment(now: Serving) -> None:
    if now.experiment:
        hint = "`inhouse experiment stop` ends it; `inhouse release rollback` works while it runs"
        raise ConfigError(f"the experiment {now.experiment.name!r} is live", hint)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
