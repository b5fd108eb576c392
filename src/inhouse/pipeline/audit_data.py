"""The data audit: documents and conversations graded before anything is trained.

It takes the index and samples of the conversations. What it quotes of these is anonymized first, unless the project
keeps personal data.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from inhouse.assembly.arms import Arms
from inhouse.assembly.workspace import Workspace
from inhouse.datasets.audit import (
    AUDIT,
    Conflict,
    Coverage,
    DataAudit,
    Files,
    Gap,
    Languages,
    Outdated,
    Personal,
    Place,
    UseCases,
    Volume,
    graded,
    share,
    worst_topics,
)
from inhouse.datasets.conversations import Rejected, read_conversations, read_tests
from inhouse.datasets.coverage import STATES, Judged, clusters, judge
from inhouse.datasets.examples import cut
from inhouse.datasets.filter import faults
from inhouse.datasets.topics import lacking, topics_of
from inhouse.documents.contradictions import contradictions
from inhouse.errors import InputError
from inhouse.evaluation.evaluate import Exam, evaluate_arm
from inhouse.evaluation.scorers import Scorer, is_right
from inhouse.files import file_sha256, write_text
from inhouse.pipeline.opened import built_of
from inhouse.pipeline.stages import index, weights
from inhouse.privacy.anonymize import PLACEHOLDER
from inhouse.retrieval.search import Index
from inhouse.routing.acts import is_courtesy
from inhouse.text.language import language
from inhouse.types import Artifact, Document, Example, Json, Message
from inhouse.verdict import Report

KIND = "data_audit"
SAMPLE, ASKED = 200, 40  # questions compared with the documents, and asked to the base model
MOST_READ = 1000  # conversations whose replies are counted; of more, a random share
NEAR = 10  # passages that a question and its reply find together
MOST_GAPS, MOST_QUOTED, MOST_CONFLICTS = 20, 4, 100
SOURCE = [
    "documents/statements.py", "documents/contradictions.py", "datasets/audit.py", "datasets/coverage.py",
    "datasets/topics.py", "datasets/card.py", "pipeline/audit_data.py",
]  # fmt: skip


def audit_data(workspace: Workspace, sample: int = SAMPLE, ask: int = ASKED) -> Artifact:
    """The audit of the data as it is now: audit.json; made again only if the data, the verdict or the settings changed.

    Args:
        workspace: with an index, which is made if there is none.
        sample: questions of the conversations that are compared with the documents.
        ask: questions that the base model is asked where there is no verdict; 0 for none.

    Raises:
        InputError: there are no documents, or a file of conversations that the project names is missing or unusable.
    """
    at, settings = index(workspace), workspace.project.curation
    documents = workspace.store.open("documents", at.parents[0])
    conversations, tests = _files_of(workspace)
    verdict = workspace.store.latest("report")
    inputs: dict[str, Json] = {
        "curation": settings.model_dump(mode="json"), "handoff": workspace.project.assistant.handoff,
        "retrieval": workspace.project.retrieval.model_dump(mode="json"), "sample": sample,
        "ask": ask, "base": workspace.project.model.base, "seed": workspace.project.seed,
        "content": [file_sha256(f) for f in (*conversations, *tests)],
    }  # fmt: skip
    data = workspace.store.latest("dataset")
    parents = [documents, at, *(a for a in (data, verdict) if a)]

    def build(work: Path) -> dict[str, Json]:
        report = Report.read(Path(verdict.path)) if verdict else None
        examined = _Examined(workspace, at, documents, conversations, tests, sample)
        audit = graded(examined.audit(report, ask, work))
        write_text(work / AUDIT, json.dumps(audit.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
        return {"grades": {g.name: g.level for g in audit.grades}, "sampled": audit.coverage.sampled,
                "gaps": len(audit.gaps), "contradictions": len(audit.conflicts)}  # fmt: skip

    return replace(workspace, delegate=None).make(KIND, inputs, parents, SOURCE, build)


def _files_of(workspace: Workspace) -> tuple[list[Path], list[Path]]:
    """The files of conversations and of tests; the one of conversations that no project file names may be missing."""
    project, settings = workspace.project, workspace.project.curation
    conversations = [project.path(name) for name in settings.conversations]
    if "conversations" not in settings.model_fields_set:
        conversations = [file for file in conversations if file.is_file()]
    tests = [project.path(name) for name in settings.tests]
    for file in (*conversations, *tests):
        if not file.is_file():
            raise InputError(f"{file}: no such file", "name your files under [curation] conversations and tests")
    return conversations, tests


class _Sample(NamedTuple):
    """Questions with replies from the conversations, and how many there are in all."""

    examples: list[Example]
    conversations: int
    replies: int
    rejected: list[Rejected]


class _Examined:
    """The parts of an audit, each from the workspace's data."""

    def __init__(
        self, workspace: Workspace, at: Artifact, documents: Artifact, conversations: Sequence[Path],
        tests: Sequence[Path], sample: int,
    ) -> None:  # fmt: skip
        self._workspace, self._at, self._read = workspace, at, documents
        self._documents = workspace.documents(documents)
        self._opened = workspace.index(at, workspace.fusion_of(at))
        self._tests = read_tests(tests, workspace.project.curation.where)[0] if tests else []
        self._sample = self._sampled(conversations, sample)
        self._quoted: dict[str, Example] = {}

    def audit(self, report: Report | None, ask: int, work: Path) -> DataAudit:
        sample = self._sample
        personal = self._personal()
        judged = self._judged()
        counts = Counter(j.state for j in judged)
        compared = sum(counts[s] for s in ("answered", "differs", "missing"))
        found = [j for j in judged if j.state == "answered"]
        data = self._workspace.store.latest("dataset")
        questions = Counter(language(e.question) for e in sample.examples)
        return DataAudit(
            project=self._workspace.project.name, files=self._files(), volume=Volume(
                conversations=sample.conversations, replies=sample.replies, tests=len(self._tests),
                training=len(self._workspace.examples("train", data)) if data else None, rejected=len(sample.rejected),
            ),
            coverage=Coverage(
                sampled=len(judged), of=sample.replies, states={s: counts[s] for s in STATES if counts[s]},
                answered=share(counts["answered"], compared), found=share(sum(j.found for j in found), len(found)),
            ),
            gaps=tuple(self._gaps(judged)), outdated=tuple(self._outdated(judged)), conflicts=tuple(self._conflicts()),
            personal=personal, languages=Languages(
                documents=self._read.facts.get("languages", {}), questions=dict(questions.most_common()),
                gaps=tuple(self._workspace.language_gaps([d.text for d in self._documents])),
            ),
            cases=self._cases(judged, report, ask, work),
        )  # fmt: skip

    # --- conversations ------------------------------------------------------------------------------------------

    def _sampled(self, files: Sequence[Path], most: int) -> _Sample:
        settings, seed = self._workspace.project.curation, self._workspace.project.seed
        logs, rejected = read_conversations(files, settings.where) if files else ([], [])
        drawn = random.Random(seed).sample(logs, min(MOST_READ, len(logs)))  # noqa: S311  a draw
        every = [e for c in drawn for e in cut(c, is_courtesy, settings.most_replies).examples]
        replies = round(len(every) * len(logs) / max(len(drawn), 1))
        bad = faults(every, settings)
        usable = [e for n, e in enumerate(every) if n not in bad]
        chosen = random.Random(seed).sample(usable, min(most, len(usable)))  # noqa: S311  a draw
        return _Sample(chosen, len(logs), replies, rejected)

    def _personal(self) -> Personal:
        """Anonymizes the sample, for quotes, and counts what was replaced."""
        replaced, kinds, with_any = self._workspace.project.curation.anonymize, Counter[str](), 0
        some = [_alone(e) for e in self._sample.examples]
        if not some:
            return Personal(sampled=0, replaced=replaced)
        anonymizer = self._workspace.anonymizer()
        anonymizer.keep(d.title for d in self._documents)
        anonymizer.learn(
            [d.text for d in self._documents if not d.access], (m.content for e in some for m in e.messages)
        )
        with self._workspace.progress.step("looking for personal data", len(some)) as step:
            for example in some:
                clean, counts = anonymizer.anonymize(example)
                kinds.update(counts)
                with_any += bool(counts)
                self._quoted[example.id] = clean if replaced else example
                step.advance()
        return Personal(sampled=len(some), with_any=with_any, kinds=dict(kinds.most_common()), replaced=replaced)

    def _quote(self, example: Example) -> str:
        return " ".join(self._quoted[example.id].question.split())

    def _judged(self) -> list[Judged]:
        workspace, rows = self._workspace, []
        grounding = workspace.grounding(self._opened)
        with workspace.progress.step("comparing replies with the documents", len(self._sample.examples)) as step:
            for e in self._sample.examples:
                near = [h.passage for h in self._opened.search(f"{e.question} {e.target}", NEAR)]
                rows.append(judge(e, grounding.passages(e.messages), near, workspace.support))
                step.advance()
        return rows

    def _gaps(self, judged: Sequence[Judged]) -> list[Gap]:
        found, n = [], sum(j.state != "unjudged" for j in judged)
        for declined in (False, True):
            rows = [j for j in judged if j.state == ("declined" if declined else "missing")]
            for cluster in clusters(rows, self._workspace.embedder):
                size = share(len(cluster.questions), n)
                assert size is not None
                said = tuple(dict.fromkeys(map(self._quote, cluster.questions)))[:MOST_QUOTED]
                found.append(
                    Gap(
                        questions=said,
                        size=len(cluster.questions),
                        share=size,
                        declined=declined,
                        nearest=cluster.documents,
                    )
                )
        return sorted(found, key=lambda g: (g.declined, -g.size, g.questions))[:MOST_GAPS]

    def _outdated(self, judged: Sequence[Judged]) -> list[Outdated]:
        rows = [j for j in judged if j.state == "differs"]
        public = {d.source for d in self._documents if not d.access}
        return [
            Outdated(
                question=self._quote(j.example), reply=_said(self._quoted[j.example.id], j.statement),
                source=j.nearest, passage=j.passage,
            )
            for j in rows if j.nearest in public
        ]  # fmt: skip

    # --- documents ----------------------------------------------------------------------------------------------

    def _conflicts(self) -> list[Conflict]:
        documents: Sequence[Document] = self._documents
        with self._workspace.progress.step("looking for contradictions", 1) as step:
            rows = contradictions(documents, self._workspace.embedder)
            step.advance()

        def place(n: int, heading: str, text: str) -> Place:
            return Place(source=documents[n].source, heading=heading, text=text, restricted=bool(documents[n].access))

        return [
            Conflict(
                places=(
                    place(r.documents[0], r.headings[0], r.texts[0]), place(r.documents[1], r.headings[1], r.texts[1])
                ),
                kind=r.kind, figures=r.figures, score=r.score,
            ) for r in rows[:MOST_CONFLICTS]
        ]  # fmt: skip

    def _files(self) -> Files:
        rows = json.loads((Path(self._read.path) / "report.json").read_text(encoding="utf-8"))["files"]

        def those(status: str) -> tuple[tuple[str, str], ...]:
            return tuple((r["path"], r["reason"]) for r in rows if r["status"] == status)

        versions = tuple((r["path"], r["reason"]) for r in rows if r["status"] == "read" and r.get("version_of"))
        return Files(
            read=sum(r["status"] == "read" for r in rows), duplicates=those("duplicate"), versions=versions,
            unreadable=those("failed"), chars=sum(r["chars"] for r in rows if r["status"] == "read"),
        )  # fmt: skip

    # --- use cases ----------------------------------------------------------------------------------------------

    def _cases(self, judged: Sequence[Judged], report: Report | None, ask: int, work: Path) -> UseCases:
        """Where the base model fails: by the verdict if it asked the base model, else by a few of the questions."""
        if report and "base" in report.arms and report.table:
            return _of_verdict(report, self._workspace)
        if not ask:
            return UseCases(reason="There is no verdict, and no question was asked (--ask 0).")
        rows = [j for j in judged if j.state in ("answered", "differs")]
        if not rows:
            return UseCases(reason="No question has a reply that the documents support, to compare answers with.")
        return self._asked(rows, ask, work)

    def _asked(self, rows: Sequence[Judged], ask: int, work: Path) -> UseCases:
        workspace = self._workspace
        seed, nearest = workspace.project.seed, [j.nearest for j in rows]
        topics = topics_of([j.example for j in rows], workspace.embedder, seed, nearest)
        chosen = _spread([j.example for j in rows], topics, ask)
        evidence = {e.id: [e.target, *(h.chunk.text for h in _near(self._opened, e))] for e, _ in chosen}
        scorer = Scorer(workspace.embedder, workspace.support, [j.example.target for j in rows])
        project = workspace.project
        exam = Exam(
            [e for e, _ in chosen], evidence, scorer, project.assistant.max_tokens, project.evaluation.timeout_s,
            project.model.parallel,
        )  # fmt: skip
        arms = Arms(built_of(workspace, weights(workspace), None, None, None, None))
        try:
            run = asyncio.run(evaluate_arm(arms.base(), exam, work / "answers-base.jsonl", workspace.progress))
        finally:
            arms.close()
            (work / "answers-base.jsonl").unlink(missing_ok=True)  # answers repeat what questions say
        right = [is_right(a.scores) for a in run.answers]
        asked = [(topic, ok, self._quote(e)) for (e, topic), ok in zip(chosen, right, strict=True)]
        return UseCases(
            source="sample", asked=len(asked), right=share(sum(right), len(right)), topics=worst_topics(asked),
            lacking=lacking(topics),
        )  # fmt: skip


def _of_verdict(report: Report, workspace: Workspace) -> UseCases:
    rows = [q for q in report.table if q.answerable and "base" in q.answers]
    examples = [Example(id=q.id, messages=q.messages, target=q.reference, tags=q.tags) for q in rows]
    nearest = [next((p.source for p in q.passages), "") for q in rows]
    topics = topics_of(examples, workspace.embedder, workspace.project.seed, nearest)
    asked = [
        (topic, is_right(q.answers["base"].scores), " ".join(PLACEHOLDER.sub("…", e.question).split()))
        for q, e, topic in zip(rows, examples, topics, strict=True)
    ]
    right = sum(ok for _, ok, _ in asked)
    return UseCases(
        source="verdict", asked=len(asked), right=share(right, len(asked)), topics=worst_topics(asked),
        lacking=lacking(topics),
    )  # fmt: skip


def _near(opened: Index, example: Example) -> Sequence[Json]:
    return opened.search(f"{example.question} {example.target}", 4)


def _spread(examples: Sequence[Example], topics: Sequence[str], most: int) -> list[tuple[Example, str]]:
    """At most so many, of each topic as equally many as there are."""
    by_topic: Mapping[str, list[Example]] = {name: [] for name in dict.fromkeys(topics)}
    for example, topic in zip(examples, topics, strict=True):
        by_topic[topic].append(example)
    chosen: list[tuple[Example, str]] = []
    for n in range(len(examples)):
        chosen += [(own[n], name) for name, own in by_topic.items() if n < len(own)]
    return chosen[:most]


def _alone(example: Example) -> Example:
    """The question with its reply, without what was said before."""
    return example.model_copy(
        update={"messages": (Message(role="user", content=example.question),), "context_only": ()}
    )


def _said(clean: Example, statement: str) -> str:
    """The statement of a reply if its anonymized form still has it, else the whole reply."""
    return statement if statement in clean.target else clean.target
