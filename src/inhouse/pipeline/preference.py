"""The stage that learns from feedback, after the training: corrections, thumbs, and preferences.

1. What people said is collected (opinions.py), without what a test question asks.
2. The custom model is fine-tuned on corrections, beside examples of the training set against forgetting, with some
   hand-offs: feedback on answers has none.
3. From there, DPO learns from pairs, and KTO from all answers, beside hand-offs too.
4. Each of these models answers feedback that was held out, and validation questions. The simplest that is best is
   kept; if none is better than the custom model, that one is.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from inhouse.assembly.arms import ADAPTER, ADAPTER_GGUF, Arms, Built
from inhouse.assembly.workspace import Workspace
from inhouse.datasets.decontaminate import leaks
from inhouse.errors import ConfigError
from inhouse.evaluation.compare import Sample
from inhouse.evaluation.evaluate import Exam, evaluate_arm
from inhouse.evaluation.scorers import Scorer
from inhouse.files import write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.models.llama import LlamaEngine
from inhouse.pipeline.feedback import is_held
from inhouse.pipeline.opinions import Opinion, anonymized, opinions
from inhouse.pipeline.rows import mixer_of, training_rows
from inhouse.pipeline.sources import TRAINING
from inhouse.training.preference import Preference
from inhouse.training.rows import Mixer, Row
from inhouse.types import Artifact, Example, Json, digest_of

FACTS = "facts.json"
BEFORE, CORRECTED = "tuned", "corrections"
ENOUGH = 8  # corrections, pairs, or single answers: fewer teach nothing that can be measured
CORRECTION_RATE = 0.4  # of the learning rate of the training before
HANDOFFS = 0.25  # that are learned again, for each row
MOST_ASKED = 60  # held-out questions of each sort that every model answers
SOURCE = [*TRAINING, "pipeline/preference.py", "pipeline/opinions.py", "pipeline/feedback.py", "pipeline/rows.py",
          "evaluation", "privacy", "datasets/shapes.py", "datasets/turns.py", "datasets/decontaminate.py", "retrieval",
          "config/feedback.py"]  # fmt: skip
SENTENCES = {
    BEFORE: "Learning from feedback is not better than the custom model on held-out questions, so that one is kept.",
    CORRECTED: "Fine-tuning on corrections is kept.",
    "dpo": "DPO is kept: it beats the corrections alone on held-out questions.",
    "kto": "KTO is kept: it beats the corrections alone on held-out questions.",
}


class Before(NamedTuple):
    """The artifacts that the stage starts from."""

    weights: Artifact
    custom: Artifact
    at: Artifact
    fusion: Artifact
    dataset: Artifact


# --- what is learned from them ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lessons:
    """What is learned from, and what decides.

    Attributes:
        corrections: rows with wanted answers of people, to learn and held out.
        preferences: all answers, to learn and held out.
        held: questions with wanted answers that nothing is learned from.
        others: validation questions without feedback.
        questions: of all feedback.
        left_out: how many opinions, by reason.
    """

    corrections: tuple[list[Row], list[Row]]
    preferences: tuple[list[Preference], list[Preference]]
    held: list[Example]
    others: list[Example]
    questions: list[str]
    left_out: Mapping[str, int]


def lessons_of(workspace: Workspace, before: Before, given: Sequence[Opinion], left_out: Counter[str]) -> Lessons:
    """Opinions without personal data and without test questions, as the model will be asked."""
    project, counts = workspace.project, Counter(left_out)
    opened = workspace.index(before.at, before.fusion)
    mixer = mixer_of(workspace, opened, project.training.model_copy(update={"without_answer": 0.0}))
    safe = anonymized(workspace, given)
    tests = workspace.examples("test", before.dataset)
    apart = {o.id for o in given if is_held(o.messages, project)}
    asked = leaks(tests, [o.example for o in safe], "feedback", workspace.embedder, project.curation.duplicate)
    counts["also asked in the test"] += len(asked)
    safe = [o for n, o in enumerate(safe) if n not in asked]
    corrections: tuple[list[Row], list[Row]] = ([], [])
    preferences: tuple[list[Preference], list[Preference]] = ([], [])
    held: list[Example] = []
    with workspace.progress.step("finding passages for feedback", len(safe)) as step:
        for opinion in safe:
            step.advance()
            example = opinion.example
            row = mixer.row(example) if opinion.chosen else _plain(mixer, example)
            if row is None:
                counts["whose figures no document supports"] += 1
                continue
            part = opinion.id in apart
            kept = Preference(messages=row.messages, chosen=opinion.chosen, rejected=opinion.rejected)
            preferences[part].append(kept)
            if opinion.chosen and opinion.source != "thumbs":
                corrections[part].append(row)
            if opinion.chosen and part and not workspace.support.declines(opinion.chosen):
                held.append(example)
    validation = workspace.examples("validation", before.dataset)
    near = leaks([o.example for o in safe], validation, "validation", workspace.embedder, project.curation.duplicate)
    others = [e for n, e in enumerate(validation) if n not in near]  # hand-offs too: feedback on answers has none
    return Lessons(
        corrections, preferences, held[:MOST_ASKED], others[:MOST_ASKED], [o.example.question for o in safe],
        {why: n for why, n in counts.items() if n},
    )  # fmt: skip


def _plain(mixer: Mixer, example: Example) -> Row:
    """The prompt as it is served, for an answer that is not learned."""
    passages = mixer.grounder.passages(example.messages, frozenset())
    return Row(messages=mixer.grounder.ground(example.messages, passages), target="", kind="grounded")


# --- the stage --------------------------------------------------------------------------------------------------


def make_feedback(workspace: Workspace, before: Before) -> Artifact:
    """The artifact "feedback": the files of a training, and the facts of what was tried and kept.

    Raises:
        ConfigError: there is too little feedback, or the training is one that feedback cannot go on from.
    """
    project, settings = workspace.project, workspace.project.feedback
    if project.training.method == "prompt_tuning":
        what = 'training.method = "prompt_tuning" cannot learn from feedback'
        raise ConfigError(what, 'set training.method = "lora", or remove the arms tuned+feedback')
    if project.training.backend == "hosted" and project.training.hosted.endpoint:
        what = "training.hosted.endpoint = true: a model whose weights a service keeps cannot learn from feedback here"
        raise ConfigError(what, "remove the arms tuned+feedback, or train where the weights come back")
    given, left_out = opinions(workspace)
    if len(given) < ENOUGH:
        reasons = "".join(f"; {n} {why}" for why, n in left_out.items())
        what = f"the arms tuned+feedback need at least {ENOUGH} pieces of feedback, and there are {len(given)}{reasons}"
        raise ConfigError(what, "approve replies in the inbox, name files under [feedback] preferences, or wait")
    inputs: dict[str, Json] = {
        "feedback": settings.model_dump(mode="json", exclude={"max_loss", "similar"}),
        "training": project.training.recipe(),
        "assistant": project.assistant.model_dump(mode="json"),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "anonymize": project.curation.anonymize,
        "seed": project.seed,
        "given": sorted(o.digest for o in given),
    }

    def build(work: Path) -> dict[str, Json]:
        lessons = lessons_of(workspace, before, given, left_out)
        return _Learning(workspace, before, lessons, work).run() | {
            "given": dict(Counter(o.source for o in given)), "left_out": dict(lessons.left_out),
            "questions": lessons.questions,
        }  # fmt: skip

    return workspace.make("feedback", inputs, list(before), SOURCE, build)


@dataclass(frozen=True)
class _Learning:
    """One making of the artifact, in its work folder."""

    workspace: Workspace
    before: Before
    lessons: Lessons
    work: Path

    def run(self) -> dict[str, Json]:
        """Trains what the feedback suffices for, tries it, and leaves the files of the best in the work folder."""
        tried: dict[str, Path] = {BEFORE: Path(self.before.custom.path)}
        facts: dict[str, Json] = {}
        if len(self.lessons.corrections[0]) >= ENOUGH:
            tried[CORRECTED] = self.work / CORRECTED
            facts[CORRECTED] = self._once(CORRECTED, self._corrections)
        start = tried.get(CORRECTED, tried[BEFORE])
        for method in self.workspace.project.feedback.methods:
            usable = [p for p in self.lessons.preferences[0] if method == "kto" or (p.chosen and p.rejected)]
            if len(usable) >= ENOUGH and any(p.rejected for p in usable):
                tried[method] = self.work / method
                facts[method] = self._once(method, functools.partial(self._preferences, method, start))
        scores = {name: self._scores(name, folder) for name, folder in tried.items()}
        kept = choose(scores, self.workspace.project.seed)
        self._keep(tried, kept)
        chosen = dict(self.before.custom.facts) if kept == BEFORE else facts[kept]
        return {
            **{k: v for k, v in chosen.items() if k != "questions"}, "kept": kept, "sentence": SENTENCES[kept],
            "tried": {name: s.summary(scores[BEFORE], self.workspace.project.seed) for name, s in scores.items()},
            "trained": facts,
        }  # fmt: skip

    def _once(self, name: str, train: Callable[[Path], dict[str, Json]]) -> dict[str, Json]:
        """Trains one model and writes it as it is served; an interrupted build finds those that were finished."""
        out = self.work / name
        if (out / FACTS).is_file():
            return dict(json.loads((out / FACTS).read_text(encoding="utf-8")))
        out.mkdir(exist_ok=True)
        facts = train(out)
        self._served(out)
        write_text(out / FACTS, json.dumps(facts))
        return facts

    def _corrections(self, out: Path) -> dict[str, Json]:
        from inhouse.training import local, sft
        from inhouse.training.job import TrainingJob

        project, (rows, held) = self.workspace.project, self.lessons.corrections
        learned, validation = self._replayed
        rows = [*rows, *learned[: round(project.feedback.replay * len(rows))]]
        rows += self._handoffs(len(rows), rows)
        update = {"learning_rate": CORRECTION_RATE * sft.rate_of(project.training), "epochs": project.feedback.epochs,
                  "sharding": "none"}  # fmt: skip
        job = TrainingJob(
            rows=tuple(rows), validation=(*held, *validation[: max(len(held), ENOUGH)]),
            base=self._base(Path(self.before.custom.path)), name=project.model.base,
            settings=project.training.model_copy(update=update), seed=project.seed,
            start=self._adapter(Path(self.before.custom.path)),
        )  # fmt: skip
        return local.train(job, out, self.workspace.progress)

    @functools.cached_property
    def _replayed(self) -> tuple[list[Row], list[Row]]:
        """The rows of the training before, in a random order, and those that decided when it stopped."""
        before, seed = self.before, self.workspace.project.seed
        learned, validation, _ = training_rows(self.workspace, before.at, before.fusion, before.dataset)
        return sorted(learned, key=lambda r: digest_of([seed, r.digest])), validation

    def _handoffs(self, beside: int, but: Sequence[Row] = ()) -> list[Row]:
        """Hand-offs of the training before, to be learned again beside so many rows, of which `but` are there already.
        Feedback on answers has none: who learns from it alone answers what it should hand over."""
        known = {r.digest for r in but}
        rows = [r for r in self._replayed[0] if r.kind in ("handoff", "without_answer")]
        wanted = round(HANDOFFS * beside) - sum(r.digest in known for r in rows)
        return [r for r in rows if r.digest not in known][: max(0, wanted)]

    def _preferences(self, method: Any, start: Path, out: Path) -> dict[str, Json]:
        from inhouse.training import preference

        project = self.workspace.project
        faster = str(self.before.custom.facts.get("precision", "")).startswith("bf16")
        settings = project.training.model_copy(update={"precision": "bf16" if faster else "fp32", "sharding": "none"})
        rows, held = self.lessons.preferences
        again = [Preference(messages=r.messages, chosen=r.target) for r in self._handoffs(len(rows))]
        job = preference.PreferenceJob(
            rows=(*rows, *(again if method == "kto" else ())), validation=tuple(held), base=self._base(start),
            name=project.model.base, settings=settings, recipe=project.feedback, method=method, seed=project.seed,
            start=self._adapter(start),
        )  # fmt: skip
        return preference.train(job, out, self.workspace.progress)

    def _base(self, folder: Path) -> Path:
        return folder / "weights" if self.workspace.project.training.method == "full" else self.workspace.base

    def _adapter(self, folder: Path) -> Path | None:
        return None if self.workspace.project.training.method == "full" else folder / ADAPTER

    def _served(self, out: Path) -> None:
        """Writes model.gguf, and adapter.gguf for LoRA."""
        from inhouse.training import gguf

        project = self.workspace.project
        base = self.workspace.base_gguf or Path(self.before.weights.path) / WEIGHTS
        gguf.write_served(out, base, project.training.method, project.model.quantization)

    def _scores(self, name: str, folder: Path) -> Scores:
        """The accuracy of a model's answers with passages, through the engine and without guardrails."""
        workspace, lessons = self.workspace, self.lessons
        examples = [*lessons.held, *lessons.others]
        scorer = Scorer(workspace.embedder, workspace.support, [e.target for e in examples])
        project = workspace.project
        evidence = {e.id: [e.target] if e.answerable else [] for e in examples}
        exam = Exam(
            examples,
            evidence,
            scorer,
            project.assistant.max_tokens,
            project.evaluation.timeout_s,
            project.model.parallel,
        )
        built = Built(
            project, workspace.embedder, workspace.support, self.before.weights, index=self.before.at,
            fusion=self.before.fusion,
        )  # fmt: skip
        arms = Arms(built)
        with closing(LlamaEngine(folder / WEIGHTS, project.model)) as engine:
            arm = arms.bare("tuned+rag", engine.model(name))
            run = asyncio.run(evaluate_arm(arm, exam, self.work / f"answers-{name}.jsonl", workspace.progress))
        arms.close()
        accuracy = [a.scores.get("accuracy", math.nan) for a in run.answers]
        words = [len(a.text.split()) for a in run.answers if not a.failed]
        n = len(lessons.held)
        return Scores(accuracy[:n], accuracy[n:], sum(words) / max(len(words), 1))

    def _keep(self, tried: Mapping[str, Path], kept: str) -> None:
        """Moves the files of the kept model up, and removes the others."""
        names = (ADAPTER, ADAPTER_GGUF, "weights", WEIGHTS, "log.jsonl")
        for file in (tried[kept] / name for name in names):
            if file.is_dir():
                shutil.copytree(file, self.work / file.name, dirs_exist_ok=True)
            elif file.is_file():
                shutil.copyfile(file, self.work / file.name)
        for name, folder in tried.items():
            if name != BEFORE:
                shutil.rmtree(folder)


# --- the choice -------------------------------------------------------------------------------------------------


class Scores(NamedTuple):
    """Accuracy of a model on held-out feedback and on other questions, and the mean length of its answers in words."""

    held: list[float]
    others: list[float]
    words: float

    def summary(self, before: Scores, seed: int) -> dict[str, Json]:
        """Means, and the paired changes against the model before."""

        def values(own: Sequence[float], was: Sequence[float]) -> dict[str, Json]:
            change = Sample(seed).gain(own, was) if own else None
            mean = sum(own) / len(own) if own else None
            return {"questions": len(own), "accuracy": mean, "change": change.model_dump() if change else None}

        return {"feedback": values(self.held, before.held), "others": values(self.others, before.others),
                "answer_words": round(self.words, 1)}  # fmt: skip


def choose(scores: Mapping[str, Scores], seed: int) -> str:
    """The model to keep, of those tried from the simplest on: a later one has to be better on held-out feedback by more
    than it loses on other questions. One that clearly loses on these is out."""
    before = scores[BEFORE]

    def worth(name: str) -> float:
        own = scores[name]
        gain = Sample(seed).gain(own.held, before.held) if own.held else None
        other = Sample(seed).gain(own.others, before.others) if own.others else None
        if other and other.high < 0:
            return -math.inf
        return (gain.mean if gain else 0.0) + (min(0.0, other.mean) if other else 0.0)

    best = BEFORE
    for name in scores:
        if worth(name) > worth(best):
            best = name
    return best
