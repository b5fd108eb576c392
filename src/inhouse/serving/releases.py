"""Releases: what may be served, immutable, and which of them is served now.

A release is an artifact that names the verdict it rests on, the artifacts that its arm needs, and the settings that the
verdict was measured with. It is made only where the gate of the project file, [release], holds. What is served is one
small file, swapped whole under a lock, so going back is as quick as going on and builds nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inhouse.assembly.arms import FEW_SHOT
from inhouse.assembly.workspace import Workspace
from inhouse.errors import BackendError, ConfigError, GateError, InputError
from inhouse.files import write_text
from inhouse.guardrails.classifier import FOLDER as CLASSIFIERS
from inhouse.monitoring.experiments import examine
from inhouse.serving.gate import judged
from inhouse.store.artifacts import locked, source_digest
from inhouse.types import Artifact, Json, Record, Release, digest_of

FILE = "serving.json"
MEASURED = (
    "name",
    "assistant",
    "model",
    "retrieval",
    "guardrails",
)  # sections of the verdict that answering depends on
NEWEST = ""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
TAKEN = {"base", "custom", "production", "canary"}


class Experiment(Record):
    """A live split of `custom` by user. `arms` are weights by release ("NAME/3") or "base"; the first is compared with.

    `since` is when the weights last changed: what was seen before is not counted with what comes after.
    """

    name: str
    arms: dict[str, float]
    metric: str
    started_at: str
    since: str


class Serving(Record):
    """What is served: names of releases, "" for none. `revision` counts up with every change.

    `earlier` are the productions before this one, the latest last; `past` are the experiments that ended. `history` has
    one entry a change, the oldest first: {"at", "did", "production", "canary", "canary_percent", "experiment"}, as it
    stood after it.
    """

    revision: int = 0
    production: str = ""
    canary: str = ""
    canary_percent: float = 0.0
    experiment: Experiment | None = None
    earlier: tuple[str, ...] = ()
    past: tuple[Experiment, ...] = ()
    history: tuple[dict[str, Json], ...] = ()


def label(release: Release) -> str:
    """The release's name with its version, as requests and notes have it."""
    return f"{release.name}/{release.version}"


def canary_name(release: str) -> str:
    """The experiment that a canary is, for the split and the audit."""
    return f"canary {release}"


class Releases:
    """The releases of a project, and which of them is served."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._store = workspace.store

    # --- making -------------------------------------------------------------------------------------------------

    def make(self) -> Release:
        """The release of the latest verdict; the same verdict with the same settings is the same release.

        Raises:
            InputError: there is no verdict yet.
            GateError: a rule of the gate does not hold; says which, with the figures.
        """
        settings = self._workspace.project.release
        name = _checked(settings.name or _slug(self._workspace.project.name))
        verdict = self._store.latest("report")
        if verdict is None:
            raise InputError("there is no verdict to release", "`inhouse build` makes one")
        report = json.loads((Path(verdict.path) / "report.json").read_text(encoding="utf-8"))
        arm = settings.arm or str(verdict.facts["recommended"] or "base")
        gate = judged(report, arm, settings, self._workspace.project.evaluation.smallest_gain)
        if failed := [rule["says"] for rule in gate if not rule["passed"]]:
            hint = f"the gate is [release] in the project file; the verdict is {verdict.path}/report.html"
            raise GateError(f"release refused: {'; '.join(failed)}", hint)
        content = self._content(name, arm, verdict) | {"gate": {"rules": gate}}
        parents = [a for depth, a in self._store.lineage(verdict) if depth <= 1]
        with locked(self._store.root / "locks" / "releases", wait=True):
            releases = self.all()
            if same := [r for r in releases if content.items() <= r.model_dump(mode="json").items()]:
                return same[-1]
            version = max((r.version for r in releases), default=0) + 1
            made = content | {"version": version, "made_at": _now()}

            def build(work: Path) -> dict[str, Json]:
                write_text(work / "release.json", json.dumps(made, indent=1, ensure_ascii=False))
                return made

            self._store.make("release", content | {"version": version}, parents, build)
        return Release(**made)

    def _content(self, name: str, arm: str, verdict: Artifact) -> dict[str, Json]:
        """What makes a release this one and no other, as JSON."""
        made_from = {a.kind: a for depth, a in self._store.lineage(verdict) if depth == 1}
        keys = {kind: a.key for kind, a in made_from.items()}
        fitted = made_from.get("calibration")
        if fitted and fitted.facts["arm"] != arm:
            raise InputError(
                f"the confidence was fitted to the arm {fitted.facts['arm']}, and the release would be of {arm}",
                "`inhouse calibrate`, then `inhouse evaluate`; or take confidence out of guardrails.rails",
            )
        custom, grounded = arm.startswith("tuned"), arm in ("rag", "tuned+rag")
        measured = self._store.inputs(verdict)
        if missing := [section for section in MEASURED if section not in measured]:
            text = f"the verdict {verdict.key[:8]} was measured without [{missing[0]}]: an earlier version made it"
            raise InputError(text, "`inhouse evaluate` makes it again")
        settings: dict[str, Json] = {section: measured[section] for section in MEASURED}
        if arm == "prompt":
            settings["few_shot"] = _few_shot(verdict)
        return {
            "name": name,
            "arm": arm,
            "weights": keys["weights"],
            "adapter": keys["adapter"] if custom else "",
            "index": keys["index"] if grounded else "",
            "fusion": keys["fusion"] if grounded else "",
            "calibration": keys.get("calibration", ""),
            "report": verdict.key,
            "settings": settings,
            "config": digest_of(settings),
            "classifiers": source_digest(CLASSIFIERS),
        }

    # --- finding ------------------------------------------------------------------------------------------------

    def all(self) -> list[Release]:
        """Every release, by version."""
        return sorted((Release(**a.facts) for a in self._store.all("release")), key=lambda r: r.version)

    def get(self, which: str = NEWEST) -> Release:
        """The release "3", "NAME/3", "production" or "canary"; the newest without a word.

        Raises:
            InputError: there is none such.
        """
        wanted = which
        if which in ("production", "canary"):
            serving = self.serving()
            wanted = serving.production if which == "production" else serving.canary
            if not wanted:
                raise InputError(f"nothing is in {which}", "`inhouse release promote VERSION` puts a release there")
        releases = self.all()
        found = releases[-1:] if wanted == NEWEST else [r for r in releases if wanted in (str(r.version), label(r))]
        if not found:
            known = ", ".join(label(r) for r in releases) or "none yet; `inhouse release` makes one"
            raise InputError(f"{which or 'release'}: no such release", f"releases: {known}")
        return found[0]

    def serving(self) -> Serving:
        """What is served now."""
        file = self._store.root / FILE
        try:
            return Serving(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Serving()
        except ValueError as error:
            hint = "put back a copy of it, or delete it and promote a release again"
            raise BackendError(f"{file}: damaged ({type(error).__name__})", hint) from error

    # --- what is served -----------------------------------------------------------------------------------------

    def promote(self, which: str = NEWEST) -> Serving:
        """The release answers everyone from now on; a canary ends.

        Raises:
            ConfigError: an experiment is live.
        """
        name = label(self.get(which))

        def change(now: Serving) -> dict[str, Any]:
            _refuse_in_experiment(now)
            if now.production == name and not now.canary:
                return {}
            earlier = (*now.earlier, now.production) if now.production not in ("", name) else now.earlier
            return {"production": name, "earlier": earlier, "canary": "", "canary_percent": 0.0}

        return self._change(f"promoted {name}", change)

    def canary(self, percent: float, which: str = NEWEST) -> Serving:
        """That share of the users is answered by the release; who it is stays as the share grows.

        Raises:
            ConfigError: the share is not between 0 and 100, the release is in production, or an experiment is live.
        """
        name = label(self.get(which))
        if not 0 < percent < 100:
            raise ConfigError(f"canary of {percent:g} %: not between 0 and 100", "`inhouse release promote` is for all")

        def change(now: Serving) -> dict[str, Any]:
            _refuse_in_experiment(now)
            if not now.production:
                raise ConfigError("there is no production beside which a canary could run", "promote a release first")
            if now.production == name:
                raise ConfigError(f"{name} is in production already", "a canary is another release")
            return {"canary": name, "canary_percent": percent}

        return self._change(f"canary {name} {percent:g} %", change)

    def rollback(self) -> Serving:
        """Takes back what is newest to users: a canary if there is one, else production, which goes to the one before.

        An experiment that serves what is taken back ends with it.

        Raises:
            InputError: there is no production before this one.
        """

        def change(now: Serving) -> dict[str, Any]:
            if now.canary:
                return {"canary": "", "canary_percent": 0.0, "did": f"rolled back the canary {now.canary}"}
            if not now.earlier:
                raise InputError("there is nothing to go back to", "`inhouse release list` shows what there is")
            ended = _ended(now) if now.experiment and now.production in now.experiment.arms else {}
            return {"production": now.earlier[-1], "earlier": now.earlier[:-1], "did": f"rolled back {now.production}",
                    **ended}  # fmt: skip

        return self._change("", change)

    # --- live experiments ---------------------------------------------------------------------------------------

    def start(self, name: str = "", arms: Mapping[str, float] | None = None) -> Serving:
        """Splits users among arms, by default evenly between base and production.

        Raises:
            ConfigError: an experiment or a canary is live, or arms or weights make no split.
        """
        weights = self._arms(arms or {"base": 1.0, "production": 1.0})
        name, metric = name or " against ".join(weights), self._workspace.project.experiment.metric
        if ":" in name:
            raise ConfigError(f"{name!r}: a colon stands between experiment and arm in the audit", "leave it out")

        def change(now: Serving) -> dict[str, Any]:
            _refuse_in_experiment(now)
            if now.canary:
                raise ConfigError(f"{now.canary} is a canary", "promote it or roll it back first")
            if any(e.name == name for e in now.past):
                raise ConfigError(f"experiment {name!r} was run before", "choose another --name, which reassigns users")
            at = _now()
            made = Experiment(name=name, arms=weights, metric=metric, started_at=at, since=at)
            return {"experiment": made}

        return self._change(f"experiment {name} started", change)

    def weights(self, arms: Mapping[str, float]) -> Serving:
        """Other weights for the arms of the live experiment. Its figures start anew: the split is another."""
        given = self._arms(arms)

        def change(now: Serving) -> dict[str, Any]:
            live = _live(now)
            if given.keys() != live.arms.keys():
                raise ConfigError(f"the arms are {', '.join(live.arms)}", "give each of them a weight, 0 for nobody")
            ordered = {arm: given[arm] for arm in live.arms}
            return {"experiment": live.model_copy(update={"arms": ordered, "since": _now()})}

        return self._change("experiment weights changed", change)

    def stop(self) -> Serving:
        """Ends the live experiment: `custom` is production again."""

        def change(now: Serving) -> dict[str, Any]:
            _live(now)
            return _ended(now)

        return self._change("experiment stopped", change)

    def experiment(self, name: str = "") -> Experiment:
        """The experiment of that name; without one the live one, else the canary as one, else the last that ended.

        Raises:
            InputError: there is none such.
        """
        now = self.serving()
        known: list[Experiment] = list(now.past)
        if now.canary:
            known.append(_canary(now, self._workspace.project.experiment.metric))
        if now.experiment:
            known.append(now.experiment)
        found = [e for e in known if name in ("", e.name)]
        if not found:
            raise InputError(
                f"{name or 'experiment'}: none such", f"there are: {', '.join(e.name for e in known) or 'none'}"
            )
        return found[-1]

    def results(self, name: str = "") -> dict[str, Json]:
        """What the experiment of that name says so far, read from the ledger; see `experiment` for no name."""
        from inhouse.store.traffic import Traffic

        experiment = self.experiment(name)
        with self._workspace.ledger() as ledger:
            return self.so_far(experiment, Traffic(ledger).outcomes(experiment.name))

    def so_far(self, experiment: Experiment, outcomes: Sequence[Record]) -> dict[str, Json]:
        """What the experiment says so far; `outcomes` are the traffic's, one a user and arm."""
        rows = [o.model_dump(mode="json") for o in outcomes]
        return {"name": experiment.name, "since": experiment.since,
                **examine(rows, experiment.arms, experiment.metric, experiment.since)}  # fmt: skip

    def _arms(self, arms: Mapping[str, float]) -> dict[str, float]:
        """Weights by release label or "base".

        Raises:
            ConfigError: fewer than two arms, one twice, or weights that are none.
        """
        found: dict[str, float] = {}
        for arm, weight in arms.items():
            name = arm if arm == "base" else label(self.get(arm))
            if name in found:
                raise ConfigError(f"{name} is an arm twice")
            if not 0 <= weight < float("inf"):
                raise ConfigError(f"{arm}={weight}: not a weight", "weights are numbers from 0")
            found[name] = weight
        if len(found) < 2 or not any(found.values()):
            raise ConfigError("an experiment takes two arms or more, and a weight above 0", "base=1 production=1")
        return found

    def _change(self, did: str, change: Callable[[Serving], dict[str, Any]]) -> Serving:
        """Applies a change of fields, which may say itself what it `did`; no fields are no change."""
        with locked(self._store.root / "locks" / "serving", wait=True):
            now = self.serving()
            changed = change(now)
            if not changed:
                return now
            did = changed.pop("did", did)
            after = now.model_copy(update={**changed, "revision": now.revision + 1})
            entry = {
                "at": _now(),
                "did": did,
                "production": after.production,
                "canary": after.canary,
                "canary_percent": after.canary_percent,
                "experiment": after.experiment.name if after.experiment else "",
            }
            after = after.model_copy(update={"history": (*now.history, entry)})
            write_text(self._store.root / FILE, json.dumps(after.model_dump(mode="json"), indent=1, ensure_ascii=False))
            return after


# --- small things -----------------------------------------------------------------------------------------------


def _few_shot(verdict: Artifact) -> list[Json]:
    file = Path(verdict.path) / FEW_SHOT
    if not file.is_file():
        raise InputError(
            f"{file}: not there", "the verdict is from an earlier version; `inhouse evaluate` makes it again"
        )
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _canary(now: Serving, metric: str) -> Experiment:
    """The canary as an experiment, since its share was set."""
    since = next(e["at"] for e in reversed(now.history) if e["did"].startswith("canary "))
    arms = {now.production: 100 - now.canary_percent, now.canary: now.canary_percent}
    return Experiment(name=canary_name(now.canary), arms=arms, metric=metric, started_at=since, since=since)


def _refuse_in_experiment(now: Serving) -> None:
    if now.experiment:
        hint = "`inhouse experiment stop` ends it; `inhouse release rollback` works all the same"
        raise ConfigError(f"the experiment {now.experiment.name!r} is live", hint)


def _ended(now: Serving) -> dict[str, Any]:
    return {"experiment": None, "past": (*now.past, _live(now))}


def _live(now: Serving) -> Experiment:
    if now.experiment is None:
        raise ConfigError("no experiment is live", "`inhouse experiment start` begins one")
    return now.experiment


def _slug(name: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", name.casefold()))[:64] or "release"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or name in TAKEN:
        hint = "use lowercase letters, digits, dots, and hyphens, such as support-bot"
        raise ConfigError(f"release.name: {name!r} is not a valid release name", hint)
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
