"""The flow on one page: each stage makes an artifact from artifacts, and asks for what it needs first.

    ingest -> index -> curate -> fusion -> pretrain -> train -> parity -> calibrate -> evaluate

A stage whose artifact exists returns it at once, so any command may be called at any time. What a stage needs only to
make its artifact is imported and opened by its `build`, which may run in a child process (pipeline/child.py).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

from inhouse.assembly.approved import approved_replies
from inhouse.assembly.arms import (
    CASCADES,
    CUSTOMIZED,
    EXPERTS,
    LEARNED,
    PRETRAINED,
    PRETRAINED_TUNED,
    Arms,
    endpoint_of,
)
from inhouse.assembly.workspace import Workspace
from inhouse.config.scratch import FROM_SCRATCH
from inhouse.config.sections import Project
from inhouse.models.catalog import WEIGHTS
from inhouse.pipeline.feedback import add_documents, reply_documents
from inhouse.pipeline.folders import folder_of
from inhouse.pipeline.opened import Trained, built_of
from inhouse.pipeline.questions import asks_in_own_words, gold_of, questions_of, subject_of, tasks_content
from inhouse.pipeline.rows import training_rows
from inhouse.pipeline.sources import TRAINING
from inhouse.pipeline.trainable import check_trainable
from inhouse.retrieval.search import gold_passages
from inhouse.types import Artifact, Json

ENGINES = ("models/engine.py", "models/llama.py", "models/llama_server.py", "models/vllm.py", "models/vllm_server.py")
ANSWERING = ("assistant", "model", "retrieval", "guardrails", "replies")  # settings that answers depend on
Stage = Callable[[Workspace], Artifact]


def stage(make: Stage) -> Stage:
    """A stage that several others need is looked up once per run."""

    @functools.wraps(make)
    def once(workspace: Workspace) -> Artifact:
        if make.__name__ not in workspace.artifacts:
            workspace.artifacts[make.__name__] = make(workspace)
        return workspace.artifacts[make.__name__]

    return once


# --- stages -----------------------------------------------------------------------------------------------------


@stage
def ingest(workspace: Workspace) -> Artifact:
    """The documents: documents.jsonl and report.json. Replies that were approved in the inbox come after the files."""
    from inhouse.documents.folder import folder_digest

    settings = workspace.project.documents
    folder = workspace.project.path(settings.path)
    inputs: dict[str, Json] = {
        "documents": settings.model_dump(mode="json"),
        "content": folder_digest(folder, settings),
    }
    approved = approved_replies(workspace)
    if approved:
        inputs |= {
            "replies": [h.digest for h in approved],
            "access": "all groups",
            "anonymize": workspace.project.curation.anonymize,
        }

    def build(work: Path) -> dict[str, Json]:
        from inhouse.documents.load import DOCUMENTS, load_documents

        summary = load_documents(folder, settings, workspace.store.cache("documents"), work, workspace.progress)
        facts = summary.model_dump(mode="json")
        if approved:
            add_documents(work / DOCUMENTS, reply_documents(workspace, approved, work / DOCUMENTS))
            facts["replies"] = len(approved)
        return facts | {"failures": [{"path": f["path"], "reason": f["reason"]} for f in facts["failures"]]}

    return workspace.make("documents", inputs, [], ["documents", "text/language.py", "text/mail.py"], build)


@stage
def index(workspace: Workspace) -> Artifact:
    """The documents cut into chunks, embedded and indexed; unchanged chunks are taken from the index before."""
    documents = ingest(workspace)
    settings = workspace.project.retrieval
    inputs = {"embedder": workspace.embedder_name(settings), "chunk_tokens": settings.chunk_tokens}

    def build(work: Path) -> dict[str, Json]:
        from inhouse.retrieval.index import build_index

        latest = workspace.store.latest("index")
        previous = Path(latest.path) if latest else None
        read = workspace.documents(documents)
        facts = build_index(read, workspace.embedder, settings, work, previous, workspace.progress)
        return facts | {"warnings": workspace.embedder_gaps([d.text for d in read])}

    source = ["retrieval/chunk.py", "retrieval/index.py", "text/tables.py", "models/embed.py"]
    return workspace.make("index", inputs, [documents], source, build)


@stage
def curate(workspace: Workspace) -> Artifact:
    """Conversations and documents turned into train, validation and test sets with a data card."""
    from inhouse.pipeline.curate import make_dataset

    return make_dataset(workspace, ingest(workspace))


@stage
def fusion(workspace: Workspace) -> Artifact:
    """How the two searches are weighed, fitted on questions of people, and on generated ones where those are few."""
    at, data = index(workspace), curate(workspace)
    settings = workspace.project.retrieval

    def build(work: Path) -> dict[str, Json]:
        from inhouse.retrieval.fusion import MOST_EXAMPLES, fit_fusion

        opened = workspace.index(at, None)
        examples = [*workspace.examples("validation", data), *workspace.examples("train", data)]
        examples = [e for e in examples if asks_in_own_words(e)]
        order = sorted(examples, key=lambda e: e.origin == "synthetic")[:MOST_EXAMPLES]
        with workspace.progress.step("finding the passages with the answers", len(order)) as step:
            gold = []
            for e in order:
                gold += [(e, gold_of(workspace, opened, e))] if e.answerable else []
                step.advance()
        grounding, unanswerable = workspace.grounding(opened), [e for e in order if not e.answerable]
        return fit_fusion(opened, grounding, gold, unanswerable, settings.passages, work, workspace.progress)

    return workspace.make("fusion", {"passages": settings.passages}, [at, data], ["retrieval"], build)


@stage
def scratch(workspace: Workspace) -> Artifact:
    """The base model of a project with model.base = "none", trained on its documents."""
    from inhouse.pipeline.base import make_scratch

    return make_scratch(workspace, ingest(workspace))


@stage
def weights(workspace: Workspace) -> Artifact:
    """The base model as it is served: model.gguf in the quantization of the project file."""
    from inhouse.pipeline.base import make_weights

    return make_weights(workspace, scratch(workspace) if workspace.project.model.base == FROM_SCRATCH else None)


@stage
def train(workspace: Workspace) -> Artifact:
    """The custom model: model.gguf as it is served, and for LoRA a PEFT folder and adapter.gguf too."""
    served, at, fused, data = weights(workspace), index(workspace), fusion(workspace), curate(workspace)
    project, settings = workspace.project, workspace.project.training
    inputs: dict[str, Json] = {
        "training": settings.recipe(),
        "assistant": project.assistant.model_dump(mode="json"),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "seed": project.seed,
        "served": "merged",
    }

    def build(work: Path) -> dict[str, Json]:
        from inhouse.training import anywhere, gguf
        from inhouse.training.job import TrainingJob

        rows, validation, counts = training_rows(workspace, at, fused, data)
        job = TrainingJob(
            rows=tuple(rows), validation=tuple(validation), base=workspace.base, name=project.model.base,
            settings=settings, seed=project.seed,
        )  # fmt: skip
        facts = anywhere.train(job, work, project.root, workspace.progress)
        facts |= {f"rows_{name}": n for name, n in counts.items()}
        if "endpoint" in facts:  # the weights are not ours
            return facts
        base = workspace.base_gguf or Path(served.path) / WEIGHTS
        return facts | gguf.write_served(work, base, settings.method, project.model.quantization)

    return workspace.make("adapter", inputs, [served, at, fused, data], TRAINING, build)


@stage
def pretrain(workspace: Workspace) -> Artifact:
    """The base model after it read the documents: the same as a training, and what it forgot."""
    from inhouse.pipeline.pretrain import make_pretrained

    return make_pretrained(workspace, weights(workspace), ingest(workspace))


@stage
def train_pretrained(workspace: Workspace) -> Artifact:
    """The custom model over continued pre-training: fine-tuning that goes on from there."""
    from inhouse.pipeline.pretrain import Before, make_pretrained_adapter

    read, served, at = pretrain(workspace), weights(workspace), index(workspace)
    return make_pretrained_adapter(workspace, Before(read, served, at, fusion(workspace), curate(workspace)))


@stage
def feedback(workspace: Workspace) -> Artifact:
    """What the custom model learned from feedback: the same as a training, and what it was chosen by."""
    from inhouse.pipeline.preference import Before, make_feedback

    before = Before(weights(workspace), train(workspace), index(workspace), fusion(workspace), curate(workspace))
    return make_feedback(workspace, before)


@stage
def experts(workspace: Workspace) -> Artifact:
    """The adapters of domain experts, and the router that chooses among them."""
    from inhouse.pipeline.experts import make_experts

    return make_experts(workspace, weights(workspace), curate(workspace), lambda own: (index(own), curate(own)))


def folder(workspace: Workspace) -> Artifact | None:
    """What vLLM serves; None for the embedded engine."""
    return folder_of(workspace, weights(workspace), *trained_of(workspace)[:4])


def parity_of(kind: str, trained: Stage) -> Stage:
    """The stage that compares a served model with the trained one: parity.json. The gate is
    `parity.refuse_without_parity`."""

    def parity(workspace: Workspace) -> Artifact:
        from inhouse.pipeline.parity import forms_of, make_agreement, make_parity

        custom, found = trained(workspace), (index(workspace), fusion(workspace), curate(workspace))
        if endpoint_of(custom):
            return make_agreement(workspace, kind, custom, found)
        forms = forms_of(workspace.project, weights(workspace), custom, folder(workspace))
        return make_parity(workspace, kind, forms, found, ENGINES)

    parity.__name__ = kind
    return stage(parity)


parity = parity_of("parity", train)
feedback_parity = parity_of("feedback_parity", feedback)
pretrained_parity = parity_of("pretrained_parity", pretrain)
pretrained_adapter_parity = parity_of("pretrained_adapter_parity", train_pretrained)


@stage
def experts_parity(workspace: Workspace) -> Artifact:
    """The same for each expert."""
    from inhouse.pipeline.experts import make_parity

    found = index(workspace), fusion(workspace), curate(workspace)
    return make_parity(workspace, weights(workspace), experts(workspace), folder(workspace), found, ENGINES)


@stage
def calibrate(workspace: Workspace) -> Artifact:
    """The confidence of each customized arm: calibration-ARM.json, and the answers that it was fitted to."""
    documents, served, at = ingest(workspace), weights(workspace), index(workspace)
    fused, data, project = fusion(workspace), curate(workspace), workspace.project
    trained, plain = trained_of(workspace), folder(workspace)
    others = [rail for rail in project.guardrails.rails if rail != "confidence"]
    inputs: dict[str, Json] = {
        "arms": [arm for arm in CUSTOMIZED if arm in project.evaluation.arms],
        "probes": project.evaluation.probes,
        "assistant": project.assistant.model_dump(mode="json"),
        "model": project.model.model_dump(mode="json"),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "guardrails": project.guardrails.model_dump(mode="json") | {"rails": others},
        "replies": project.replies.model_dump(mode="json"),
        "name": project.name,
        "engine": workspace.engine,
    }

    def build(work: Path) -> dict[str, Json]:
        from inhouse.assembly.guard import Parts
        from inhouse.pipeline.calibrate import calibrate_arms, held_questions, summary

        parts = Parts(workspace, project)
        verdict, _ = questions_of(workspace, documents, data, parts.languages())
        validation = workspace.examples("validation", data)
        own = held_questions(parts, validation, workspace.documents(documents), verdict)
        arms = Arms(built_of(workspace, served, trained.custom, plain, at, fused, None, None, *trained[1:]))
        try:
            by_arm = calibrate_arms(parts, arms, own, work)
        finally:
            arms.close()
        return {**summary(by_arm), "arms": by_arm}

    source = ["guardrails", "pipeline/calibrate.py", "evaluation", "assembly", "datasets/variants.py", "routing",
              "text", "privacy", "retrieval", *ENGINES]  # fmt: skip
    parents = [served, at, fused, data, *(a for a in (*trained, plain) if a)]
    return workspace.make("calibration", inputs, parents, source, build)


@stage
def cascade(workspace: Workspace) -> Artifact:
    """The cascade of [[cascade.rung]]: its thresholds, and what is certified of them."""
    from inhouse.assembly.cascade import check_rungs, model_of

    documents, served, at = ingest(workspace), weights(workspace), index(workspace)
    fused, data, project = fusion(workspace), curate(workspace), workspace.project
    rungs = check_rungs(project)
    custom = train(workspace) if any(r.arm.startswith("tuned") for r in rungs) else None
    plain, others = folder_of(workspace, served, custom), {}
    for name in sorted({r.model for r in rungs if r.model}):
        settings = project.model_copy(update={"model": model_of(project, name)}).at(project.root)
        others[name] = weights(replace(workspace, project=settings, artifacts={}))
    workspace.store.touch(served)  # the project's own stay the latest
    inputs: dict[str, Json] = {
        "cascade": project.cascade.model_dump(mode="json"),
        "upstream": [t.model_dump(mode="json") for t in project.upstream],
        "private": [t.model_dump(mode="json") for t in project.private],
        "evaluation": project.evaluation.model_dump(mode="json", include={"probes", "max_questions"}),
        **{name: getattr(project, name).model_dump(mode="json") for name in ANSWERING}, "name": project.name,
        "engine": workspace.engine, "others": {name: a.key for name, a in others.items()},
    }  # fmt: skip
    parents = [served, at, fused, data, *(a for a in (custom, plain, *others.values()) if a)]

    def build(work: Path) -> dict[str, Json]:
        from inhouse.pipeline.cascade import fit_cascade

        made = {"documents": documents, "weights": served, "adapter": custom, "index": at, "fusion": fused,
                "dataset": data}  # fmt: skip
        arms = Arms(built_of(workspace, served, custom, plain, at, fused))
        try:
            return fit_cascade(workspace, arms, others, made, work)
        finally:
            arms.close()

    source = ["guardrails", "pipeline/cascade.py", "pipeline/calibrate.py", "evaluation", "assembly", "routing", "text",
              "privacy", "retrieval", *ENGINES]  # fmt: skip
    return workspace.make("cascade", inputs, parents, source, build)


@stage
def router(workspace: Workspace) -> Artifact:
    """The classifier that chooses an agent."""
    from inhouse.pipeline.router import make_router, needs_documents

    return make_router(workspace, ingest(workspace) if needs_documents(workspace) else None)


def team(workspace: Workspace) -> Artifact | None:
    """The agents with their procedures and router; None where the project has none."""
    if not workspace.project.agent:
        return None
    from inhouse.pipeline.router import make_team

    return make_team(workspace, router(workspace))


def commands(workspace: Workspace) -> Artifact | None:
    """The adapters of agents that learn to understand messages; None where none does."""
    if not workspace.project.agent:
        return None
    from inhouse.pipeline.commands import make_commands, wanted

    agents = team(workspace) if wanted(workspace.project) else None
    return make_commands(workspace, weights(workspace), agents) if agents else None


def _private(project: Project, custom: Artifact | None) -> dict[str, Json]:
    """The policies that the verdict asks models elsewhere under, if it asks any."""
    hosted, private = custom is not None and endpoint_of(custom), CASCADES[1] in project.evaluation.arms
    if private:
        from inhouse.assembly.cascade import check_private_arm

        check_private_arm(project)
    if hosted:
        from inhouse.assembly.private import check_oracle

        check_oracle(project)
    asked = private or (hosted and project.private)
    return {"private": [t.model_dump(mode="json") for t in project.private]} if asked else {}


@stage
def evaluate(workspace: Workspace) -> Artifact:
    """The verdict: every arm's answers, report.json and report.html."""
    from inhouse.pipeline.parity import refuse_without_parity

    documents, served, at = ingest(workspace), weights(workspace), index(workspace)
    fused, data = fusion(workspace), curate(workspace)
    project, settings = workspace.project, workspace.project.evaluation
    trained = trained_of(workspace)
    custom, taught, read, both, panel = trained
    checks = [check(workspace) if a else None for a, check in zip(trained, PARITIES, strict=True)]
    for checked in filter(None, checks):
        refuse_without_parity(checked)
    fitted = calibrate(workspace) if "confidence" in project.guardrails.rails else None
    inputs: dict[str, Json] = {
        **{name: getattr(project, name).model_dump(mode="json") for name in ("evaluation", *ANSWERING)},
        "judge": project.judge.model_dump(mode="json", exclude={"api_key_env", "timeout_s"}),
        "name": project.name,
        "engine": workspace.engine,
        "tasks": tasks_content(project),
        **({"similar": project.feedback.similar, "max_loss": project.feedback.max_loss} if taught else {}),
        **({"pretraining": project.pretraining.model_dump(mode="json")} if read else {}),
        **_private(project, custom),
    }
    plain, agents, learned = folder(workspace), team(workspace), commands(workspace)
    laddered = cascade(workspace) if {*CASCADES} & {*settings.arms} else None
    more = (*trained, *checks, fitted, plain, agents, learned, laddered)
    parents = [served, at, fused, data, *(a for a in more if a)]

    def build(work: Path) -> dict[str, Json]:
        from inhouse.assembly.cascade import with_cascade
        from inhouse.assembly.guard import Parts, wrapped
        from inhouse.pipeline.evaluate import Questions, headline, judge_arms, with_closed

        opened = workspace.index(at, fused)
        parts = Parts(workspace, project, fitted, report=True)
        guard = functools.partial(wrapped, parts)
        examples, unmade = questions_of(workspace, documents, data, parts.languages())
        gold = {e.messages: gold_passages(opened, e.question, e.sources) for e in examples}
        calibrated = fitted.facts["arms"] if fitted else {}
        given = tuple(taught.facts["questions"]) if taught else ()
        forgot = {name: a.facts for name, a in (("cpt", read), ("cpt+tuned", both)) if a}
        questions = Questions(examples, workspace.examples("train", data), gold, unmade, calibrated, given, forgot)
        questions = with_closed(questions, panel, settings.max_questions, project.seed) if panel else questions
        subject = subject_of(workspace, data, fused, custom or both, checks[0] or checks[3])
        built = built_of(workspace, served, custom, plain, at, fused, guard, learned, *trained[1:])
        arms = Arms(with_cascade(built, parts, laddered, measured=True) if laddered else built)
        try:
            return headline(judge_arms(workspace, arms, questions, subject, work, agents))
        finally:
            arms.close()

    source = ["evaluation", "assembly", "agents", "pipeline/evaluate.py", "pipeline/questions.py", "pipeline/tasks.py",
              "verdict.py", "retrieval", "guardrails", "routing", "text", "privacy", *ENGINES]  # fmt: skip
    return workspace.make("report", inputs, parents, source, build)


def build(workspace: Workspace) -> Artifact:
    """Every stage; finished ones are skipped."""
    return evaluate(workspace)


STAGES: dict[str, Stage] = {
    "documents": ingest, "index": index, "dataset": curate, "fusion": fusion, "weights": weights, "scratch": scratch,
    "folder": lambda workspace: cast("Artifact", folder(workspace)),  # made in a child only for vLLM
    "team": lambda workspace: cast("Artifact", team(workspace)), "adapter": train,
    "commands": lambda workspace: cast("Artifact", commands(workspace)),
    "feedback": feedback, "feedback_parity": feedback_parity,
    "pretrained": pretrain, "pretrained_parity": pretrained_parity,
    "pretrained_adapter": train_pretrained, "pretrained_adapter_parity": pretrained_adapter_parity,
    "experts": experts, "experts_parity": experts_parity,
    "parity": parity, "calibration": calibrate, "report": evaluate, "router": router, "cascade": cascade,
}  # fmt: skip
"""The stage that makes each kind of artifact."""


# --- what the stages share --------------------------------------------------------------------------------------


def customizes(project: Project) -> bool:
    """Whether the verdict asks a custom model."""
    return any(arm.startswith("tuned") for arm in project.evaluation.arms)


PARITIES = (  # in the order of Trained
    parity, feedback_parity, pretrained_parity, pretrained_adapter_parity, experts_parity,
)  # fmt: skip


def trained_of(workspace: Workspace) -> Trained:
    """The models that were trained, as far as the verdict asks them."""
    asked = {*workspace.project.evaluation.arms}
    learns, reads, both, routes = (
        not asked.isdisjoint(arms) for arms in (LEARNED, PRETRAINED, PRETRAINED_TUNED, EXPERTS)
    )
    check_trainable(workspace.project)  # before hours of training
    return Trained(
        train(workspace) if customizes(workspace.project) else None,
        feedback(workspace) if learns else None,
        pretrain(workspace) if reads else None,
        train_pretrained(workspace) if both else None,
        experts(workspace) if routes else None,
    )
