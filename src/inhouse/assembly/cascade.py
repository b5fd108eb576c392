"""The arm `cascade`: its rungs opened over the arms of the project, each behind its own guardrails, and what decides
between them read from the artifact of `inhouse cascade fit`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from inhouse.assembly.arms import CASCADES, Arms, Built
from inhouse.assembly.guard import Parts, wrapped
from inhouse.assembly.private import border_of, leaving_policies
from inhouse.assembly.routes import upstream
from inhouse.assembly.standing import LIVE, live
from inhouse.assembly.workspace import Workspace
from inhouse.assembly.wrappers import Prompted
from inhouse.certificate import CascadeReport
from inhouse.chat import ChatModel, ChatRequest
from inhouse.config.cascade import Rung as RungTable
from inhouse.config.private import Policy as Rule
from inhouse.config.sections import Model, Project
from inhouse.errors import ConfigError
from inhouse.guardrails.rail import Rail, question_of
from inhouse.models.catalog import CATALOG
from inhouse.routing.cascade import Cascaded, Policy, Rung, left_out
from inhouse.types import Artifact, Json

POLICY = "policy.json"  # in the artifact of a cascade: what decides
CHECKED_S = 60.0  # between two looks at whether a certificate holds
RUNGS = "rungs.json"  # in it: the keys of the weights of other models, by name


@dataclass(frozen=True)
class Ladder:
    """What rungs are opened from.

    Attributes:
        parts: what their guardrails are built from.
        others: weights of the models that are not the project's, by the name that the rungs have them under.
        private: whether what every model elsewhere is asked has surrogates, whatever the groups of the user.
        measured: whether the rungs are measured: questions then have no groups, so a model elsewhere is asked with its
            strictest policy with which anything leaves, and none here answers in its place.
    """

    parts: Parts
    others: Mapping[str, Artifact]
    private: bool = False
    measured: bool = False

    def open(self, table: RungTable, arms: Arms, recorder: Rail | None = None) -> ChatModel:
        """One rung under its name. Its confidence is that of the cascade's artifact, and hands nothing off.

        Args:
            table: its settings.
            arms: of the project, without guardrails.
            recorder: a rail in place of confidence.
        """
        project = self.parts.project
        over = arms.over(model_of(project, table.model), self.others[table.model]) if table.model else arms
        model = self._elsewhere(table, over) if table.upstream else over.bare(table.arm)
        rails = tuple(dict.fromkeys((*project.guardrails.rails, "confidence")))
        rules = project.guardrails.model_copy(update={"rails": rails})
        behind = project.model_copy(update={"guardrails": rules}).at(project.root)
        parts = replace(self.parts, project=behind, recorder=recorder)
        return wrapped(parts, Prompted(table.label, model, lambda messages: messages))

    def _elsewhere(self, table: RungTable, arms: Arms) -> ChatModel:
        """A rung whose model is elsewhere, behind its policy; only passages that may leave are found for it. Where
        nothing may leave, or the model fails, the next rung is asked; in place of the last one the project's own model
        answers, with a note."""
        remote = upstream(self.parts.project.upstream, table.upstream)
        border = border_of(self.parts)
        if not border.has(table.upstream):
            return arms.bare(table.arm, border.recorded(table.upstream, remote), only=border.leaving)
        policy: Rule | None = None
        if self.private:
            policy = "surrogates"
        elif self.measured:
            policy = border.measured(table.upstream)
        last = table.label == self.parts.project.cascade.rung[-1].label
        local = arms.local() if last and not self.measured else None
        return arms.bare(table.arm, border.around(table.upstream, remote, local, policy), only=border.leaving)


def model_of(project: Project, name: str) -> Model:
    """The settings of another model in the embedded engine."""
    known = CATALOG.get(name)
    own = {"quantization": known.quantization} if known and known.quantization else {}
    return project.model.model_copy(update={"base": name, "engine": "embedded", **own})


def check_rungs(project: Project) -> tuple[RungTable, ...]:
    """The rungs of a project.

    Raises:
        ConfigError: they make no cascade; says which and why.
    """
    rungs = project.cascade.rung
    if len(rungs) < 2:
        raise ConfigError("[cascade]: a cascade has at least two rungs", "add [[cascade.rung]] tables, cheapest first")
    if project.cascade.score == "agreement" and not project.guardrails.second_sample_tokens:
        what = "[cascade]: score = agreement needs a second answer, and none is made"
        raise ConfigError(what, "set guardrails.second_sample_tokens, or another score")
    labels = [r.label for r in rungs]
    for n, rung in enumerate(rungs):
        at = f"[[cascade.rung]] {rung.label}"
        if labels.count(rung.label) > 1:
            raise ConfigError(f"{at}: two rungs have this name", "set `name`")
        if rung.arm.startswith("tuned") and (rung.model or rung.upstream):
            raise ConfigError(f"{at}: {rung.arm} is of the project's own model", 'set arm = "rag"')
        if rung.model and rung.upstream:
            raise ConfigError(f"{at}: has both `model` and `upstream`", "keep one of them")
        if rung.upstream and rung.upstream not in {t.name for t in project.upstream}:
            raise ConfigError(f"{at}: there is no [[upstream]] {rung.upstream}", "add the table, or correct the name")
        closed = next((t for t in project.private if t.upstream == rung.upstream and not leaving_policies(t)), None)
        if rung.upstream and closed:
            what = f"{at}: [[private]] {rung.upstream} lets nothing leave, so the rung would never answer"
            raise ConfigError(what, 'set default = "surrogates", allow it to a group, or remove the rung')
        if rung.arm == "inbox" and n + 1 < len(rungs):
            raise ConfigError(f"{at}: a person is the last rung", "move it to the end")
    return rungs


def with_cascade(built: Built, parts: Parts, fitted: Artifact, measured: bool = False) -> Built:
    """What arms are made from, with those of the cascade.

    Args:
        built: the other arms.
        parts: what guardrails are built from.
        fitted: the artifact of the cascade.
        measured: for the verdict, see Ladder.

    Raises:
        InputError: the weights of a rung are gone.
    """
    keys = json.loads((Path(fitted.path) / RUNGS).read_text(encoding="utf-8"))
    others = {name: parts.workspace.store.open("weights", key) for name, key in keys.items()}
    return replace(built, cascade=partial(open_cascade, Ladder(parts, others, measured=measured), fitted))


def check_private_arm(project: Project) -> None:
    """
    Raises:
        ConfigError: the arm `cascade+private` is no other than `cascade`, or would send what may not leave.
    """
    elsewhere = [rung.upstream for rung in check_rungs(project) if rung.upstream]
    if not elsewhere:
        what = "evaluation.arms: cascade+private is the cascade alone, since no rung is an upstream"
        raise ConfigError(what, "remove it, or add a rung with `upstream`")
    open_to = {t.upstream for t in project.private if leaving_policies(t)}
    for name in elsewhere:
        if name not in open_to:
            what = f"evaluation.arms: cascade+private would send the test questions to {name}, which no policy allows"
            raise ConfigError(what, f'add a [[private]] table for {name} with the policy "surrogates"')


def open_cascade(ladder: Ladder, fitted: Artifact, name: str, arms: Arms) -> ChatModel:
    """The arm called `name`: the cascade as it was certified, or with surrogates in all that leaves."""
    project = ladder.parts.project
    policy = Policy.model_validate_json((Path(fitted.path) / POLICY).read_bytes())
    if name != CASCADES[0]:
        check_private_arm(project)
    own = replace(ladder, parts=replace(ladder.parts, fitted=fitted), private=name != CASCADES[0])
    rungs: list[Rung] = []
    for n, table in enumerate(check_rungs(project)):
        model = None if table.arm == "inbox" else own.open(table, arms)
        threshold = policy.thresholds[n] if n < len(policy.thresholds) else 0.0
        rungs.append(Rung(table.label, model, threshold, table.usd or None, bool(table.upstream)))
    per_s = project.model.usd_per_hour / 3600
    skip = _skip(policy, ladder.parts) if policy.known else None
    declines = ladder.parts.workspace.support.declines
    certificate = _standing(ladder.parts.workspace, fitted, policy)
    return Cascaded(name, rungs, project.assistant.handoff, skip, per_s, certificate, declines)


def _standing(workspace: Workspace, fitted: Artifact, policy: Policy) -> Callable[[], Json]:
    """What is certified, None where that is void; looked up again after CHECKED_S."""
    report = CascadeReport.read(Path(fitted.path))
    kept: list[tuple[float, Json]] = []

    def certificate() -> Json:
        now = time.monotonic()
        if not kept or now - kept[0][0] > CHECKED_S:
            kept[:] = [(now, None if report.void(live(workspace), LIVE) else policy.certificate)]
        return kept[0][1]

    return certificate


def _skip(policy: Policy, parts: Parts) -> Callable[[ChatRequest], list[bool]]:
    known = policy.known
    assert known is not None

    def skip(request: ChatRequest) -> list[bool]:
        vector = parts.embedder.embed([question_of(request)])[0]
        return left_out(known.shares([float(x) for x in vector]), policy.usd)

    return skip
