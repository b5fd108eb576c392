"""A release with another index, or a new one, asked the same questions as the release in production.

An index of changed documents is measured on the questions of the verdict that the change affects: those whose passages,
before or after, or whose source is in a changed document, and on a sample of the others. After a build, every test
question of its verdict is asked. Both releases are asked now and in the same way. Runs in a child process, which gives
the memory of two engines back.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from inhouse import process
from inhouse.assembly.arms import RETRIEVING, Shared
from inhouse.assembly.workspace import PACKAGE, Workspace
from inhouse.chat import ChatModel
from inhouse.config.sections import Project
from inhouse.evaluation.evaluate import Answer, Exam, conversations, evaluate_arm
from inhouse.evaluation.outcomes import ANSWERED
from inhouse.evaluation.scorers import Scorer
from inhouse.files import write_text
from inhouse.models.catalog import Catalog
from inhouse.models.engine import Serves
from inhouse.monitoring.retests import FILE, Part, Retest, Row, Told
from inhouse.serving.open import open_release, settings_of
from inhouse.serving.releases import label
from inhouse.store.artifacts import source_digest
from inhouse.text.numbers import says
from inhouse.text.support import SUPPORTED, LexicalSupport
from inhouse.types import Artifact, Example, Json, Passage, Progress, Record, Release, digest_of
from inhouse.verdict import Report

BRAND = 200  # replies that the tone of answers is compared with


class Request(Record):
    """What is to be asked: two releases, `after` perhaps without a number yet. Without `whole`, the affected ones."""

    project: dict[str, Json]
    root: Path
    cache: Path
    before: Release
    after: Release
    changed: tuple[str, ...] = ()
    whole: bool = False


def retested(
    workspace: Workspace, before: Release, after: Release, changed: Sequence[str] = (), whole: bool = False
) -> Artifact:
    """The artifact with the retest, made in a child process.

    Raises:
        InhouseError: a release cannot be opened.
        BackendError: the child crashed or was killed.
    """
    request = Request(
        project=workspace.project.model_dump(mode="json"), root=workspace.project.root.resolve(),
        cache=workspace.catalog.folder.parent.resolve(), before=before, after=after, changed=tuple(changed),
        whole=whole,
    )  # fmt: skip
    made = process.run(__name__, request.model_dump(mode="json"), "the test of a release", workspace.progress)
    return workspace.store.open("retest", str(made["key"]))


def work(request: Json, progress: Progress) -> dict[str, Json]:
    """Called by inhouse.process in the child."""
    asked = Request.model_validate(request)
    project = Project.model_validate(asked.project).at(asked.root)
    return {"key": measure(Workspace(project, Catalog(asked.cache), progress), asked).key}


def measure(workspace: Workspace, asked: Request) -> Artifact:
    """The artifact with the retest, made in this process."""
    store, watch = workspace.store, workspace.project.watch
    content = asked.after.model_dump(mode="json", exclude={"version", "made_at", "gate", "pins"})
    inputs: dict[str, Json] = {
        "before": [label(asked.before), asked.before.index, asked.before.report], "after": content,
        "changed": sorted(asked.changed), "whole": asked.whole, "most": [watch.sample, watch.max_retested],
        "source": source_digest(*(PACKAGE / s for s in ("serving/retest.py", "evaluation", "monitoring/retests.py"))),
    }  # fmt: skip
    report = store.open("report", asked.after.report)
    parents = [report]
    if not asked.whole:  # its documents come before those of the verdict: guardrails know the new ones
        at = store.open("index", asked.after.index)
        parents = [*(a for depth, a in store.lineage(at) if depth == 1), at, report]

    def build(out: Path) -> dict[str, Json]:
        found = _ask(workspace, asked, out)
        write_text(out / FILE, found.model_dump_json(indent=1))
        counts = {name: len(getattr(found, name)) for name in ("rows", "better", "worse", "outdated")}
        return {"affected": found.affected, **counts}

    return store.make("retest", inputs, parents, build)


@dataclass(frozen=True)
class Side:
    """A release with what is found for each question."""

    release: Release
    project: Project
    found: Mapping[str, Sequence[Passage]]
    held: Callable[[str], Sequence[str]]  # the texts of a document in its index


def _side(workspace: Workspace, release: Release, examples: Sequence[Example]) -> Side:
    project, store = settings_of(workspace, release), workspace.store
    if not release.index:
        return Side(release, project, {}, lambda source: ())
    fusion = store.open("fusion", release.fusion) if release.fusion else None
    index = workspace.index(store.open("index", release.index), fusion, project)

    def held(source: str) -> Sequence[str]:
        return [c.text for c in index.chunks_of(source)]

    asked = digest_of([[e.id, [m.content for m in e.messages]] for e in examples])
    name = digest_of([release.index, release.fusion, release.config, asked])[:16]
    kept = store.cache("retest") / f"{name}.json"
    with suppress(OSError, ValueError):
        rows = json.loads(kept.read_text(encoding="utf-8"))
        return Side(release, project, {id: tuple(Passage(**p) for p in found) for id, found in rows.items()}, held)
    grounding = workspace.grounding(index, project)
    found = {}
    with workspace.progress.step("searching for the test questions", len(examples)) as step:
        for e in examples:
            found[e.id] = tuple(grounding.passages(e.messages))
            step.advance()
    rows = {id: [p.model_dump(mode="json") for p in passages] for id, passages in found.items()}
    write_text(kept, json.dumps(rows, ensure_ascii=False), 0o600)
    return Side(release, project, found, held)


def _ask(workspace: Workspace, asked: Request, out: Path) -> Retest:
    changed = frozenset(asked.changed)
    tests, known = _tests(workspace, asked.after, changed), {e.id for e in _tests(workspace, asked.before)}
    before, after = (_side(workspace, release, tests) for release in (asked.before, asked.after))
    if asked.whole:
        parts: dict[str, Part] = {e.id: "old" if e.id in known else "new" for e in tests}
        affected = 0
    else:
        parts, affected = _parts(workspace, tests, changed, before, after)
    examples = [e for e in tests if e.id in parts]
    support = LexicalSupport(after.project.assistant.handoff, workspace.embedder_of(after.project.retrieval))
    outdated = {e.id for e in examples if not asked.whole and _outdated(e, changed, before, after, support)}
    sides = (before, after)
    exams = [_exam(workspace, side, examples, outdated if n else set()) for n, side in enumerate(sides)]
    answers = _answers(workspace, asked, sides, exams, out)
    told = [[_told(answer) for answer in own] for own in answers]
    rows = tuple(
        Row(
            id=e.id, part=parts[e.id], question=e.question, reference=e.target, outdated=e.id in outdated,
            before=a, after=b,
        )
        for e, a, b in zip(examples, *told, strict=True)
    )  # fmt: skip
    return Retest(
        before=label(asked.before), after=label(asked.after) if asked.after.version else "the new index",
        changed=tuple(sorted(changed)), tests=len(tests), affected=affected, rows=rows,
    )  # fmt: skip


def _tests(workspace: Workspace, release: Release, changed: frozenset[str] = frozenset()) -> list[Example]:
    """The test questions that the verdict of a release asked, and those whose answer is in a changed document."""
    report = workspace.store.open("report", release.report)
    data = next((a for _, a in workspace.store.lineage(report) if a.kind == "dataset"), None)
    asked = {q.id for q in Report.read(Path(report.path)).table}
    tests = workspace.examples("test", data) if data else []
    return [e for e in tests if e.id in asked or changed.intersection(s.document for s in e.sources)]


def _parts(
    workspace: Workspace, tests: Sequence[Example], changed: frozenset[str], before: Side, after: Side
) -> tuple[dict[str, Part], int]:
    """By question that is asked, whether it is affected; and how many are. Turns of a conversation stay together."""
    settings, draw = workspace.project.watch, random.Random(workspace.project.seed)  # noqa: S311  a draw, not a secret
    hit: list[list[Example]] = []
    others: list[list[Example]] = []
    for turns in conversations(tests):
        touched = any(_touched(e, changed, before, after) for e in turns)
        (hit if touched else others).append(turns)
    parts: dict[str, Part] = {}
    named: tuple[tuple[Part, list[list[Example]], int], ...] = (
        ("affected", hit, settings.max_retested), ("others", others, settings.sample),
    )  # fmt: skip
    for part, some, most in named:
        draw.shuffle(some)
        chosen = 0
        for turns in some:
            if chosen + len(turns) <= most:
                chosen += len(turns)
                parts |= {e.id: part for e in turns}
    return parts, sum(len(turns) for turns in hit)


def _touched(e: Example, changed: frozenset[str], before: Side, after: Side) -> bool:
    """Whether a question has to do with a changed document: by its source, or by what is found for it."""
    old, new = before.found.get(e.id, ()), after.found.get(e.id, ())
    sources = {s.document for s in e.sources} | {p.source for p in (*old, *new)}
    return bool(sources & changed) or [p.text for p in old] != [p.text for p in new]


def _outdated(e: Example, changed: frozenset[str], before: Side, after: Side, support: LexicalSupport) -> bool:
    """Whether the reference says what the documents said before and do not say any more."""
    if not e.answerable or not e.target:
        return False
    old, new = (
        [p.text for p in side.found.get(e.id, ())]
        + [t for s in e.sources if s.document in changed for t in side.held(s.document)]
        for side in (before, after)
    )
    facts = e.checks.must_include
    if facts:
        return any(_said(f, old) and not _said(f, new) for f in facts)
    claims = support.statements(e.target)
    return any(support.support(c, old) >= SUPPORTED > support.support(c, new) for c in claims)


def _said(spellings: Sequence[str], texts: Sequence[str]) -> bool:
    return any(says(text, spelling) for text in texts for spelling in spellings)


def _answers(
    workspace: Workspace, asked: Request, sides: Sequence[Side], exams: Sequence[Exam], out: Path
) -> list[Sequence[Answer]]:
    """The answers of both releases, which share an engine if they have the same weights.

    Those of the verdict are not used: the same question twice is not always answered with the same words, since an
    engine computes answers together, and in other groups in another run.
    """
    answers: list[Sequence[Answer]] = []
    with ExitStack() as opened:
        engines = Shared[Serves]()
        models: list[ChatModel] = []
        for release in (asked.before, asked.after):
            alone = release.model_copy(update={"team": ""})  # the verdict measures arms without agents too
            found = open_release(workspace, alone, engines)
            opened.callback(found.close)
            models.append(found.model)
        for n, (model, exam) in enumerate(zip(models, exams, strict=True)):
            answers.append(_asked(model, exam, out / f"answers-{n}.jsonl", workspace.progress))
    return answers


def _asked(model: ChatModel, exam: Exam, out: Path, progress: Progress) -> Sequence[Answer]:
    return asyncio.run(evaluate_arm(model, exam, out, progress)).answers


def _exam(workspace: Workspace, side: Side, examples: Sequence[Example], outdated: set[str]) -> Exam:
    project, embedder = side.project, workspace.embedder_of(side.project.retrieval)
    brand = [e.target for e in examples if e.answerable][:BRAND]
    evidence = {}
    for e in examples:
        own = [e.target] if e.target and e.answerable and e.id not in outdated else []
        evidence[e.id] = own + [f"{p.heading}. {p.text}" if p.heading else p.text for p in side.found.get(e.id, ())]
    return Exam(
        examples, evidence, Scorer(embedder, LexicalSupport(project.assistant.handoff, embedder), brand),
        project.assistant.max_tokens, workspace.project.evaluation.timeout_s, workspace.project.model.parallel,
    )  # fmt: skip


def _told(answer: Answer) -> Told:
    """What is kept of an answer. A hand-off needs no support."""
    unsupported = answer.outcome in ANSWERED and bool(answer.scores.get("hallucinated"))
    return Told(text=answer.text or answer.failed, outcome=answer.outcome, unsupported=unsupported)


def reads(release: Release) -> bool:
    """Whether a release answers from documents, so that another index changes its answers."""
    return bool(release.index) and release.arm in (*RETRIEVING, "cascade")
