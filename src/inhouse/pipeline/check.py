"""`inhouse check`: whether project file, machine and data are fit for a build, and how long each stage will take.

The estimates come from two short probes (embedding, matrix products) and the sizes of the data. A token costs two
floating-point operations per weight to read and six where gradients are computed (Kaplan et al. 2020, table 1). The
shares of the probe's speed that are reached come from runs of this code on two cores. Probes count processor time: what
other programs do meanwhile, which may be over long before the build is, is a warning instead.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import computed_field

from inhouse import process
from inhouse.agents.check import problems
from inhouse.assembly.arms import CASCADES, CUSTOMIZED, EXPERTS, PRETRAINED, PRETRAINED_TUNED
from inhouse.assembly.cascade import check_private_arm, check_rungs
from inhouse.assembly.experts import check_experts
from inhouse.assembly.private import check_private
from inhouse.assembly.team import described, procedures_of
from inhouse.assembly.tools import tools_of
from inhouse.assembly.workspace import Workspace
from inhouse.bounds import labels_needed
from inhouse.config.prices import check_prices
from inhouse.config.scratch import FROM_SCRATCH
from inhouse.config.sections import Documents, Project
from inhouse.datasets.conversations import Rejected, read_conversations, read_tests
from inhouse.datasets.examples import cut
from inhouse.documents.folder import Entry, unread, walk
from inhouse.documents.load import scanned
from inhouse.errors import InhouseError, InputError
from inhouse.evaluation import untouched
from inhouse.evaluation.probes import KINDS
from inhouse.pipeline.calibrate import MOST_QUESTIONS
from inhouse.pipeline.experts import own_project
from inhouse.pipeline.languages import languages_of_documents
from inhouse.pipeline.trainable import check_trainable
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.routing.acts import is_courtesy
from inhouse.training import anywhere
from inhouse.training.corpus import text_files
from inhouse.training.plan import Shape
from inhouse.types import Example, Record

MIN_MEMORY_GB = 4.0
MIN_DISK_GB = 3.0
BYTES_PER_WEIGHT = 0.62  # of the default weights as they are distributed
TRAIN_SHARE = 0.65  # of the probe's speed
PROMPT_SHARE = 0.8  # the same for the engine, which reads prompts in 8 bits
PROMPT_SHARE_VNNI = 2.0  # where the processor has instructions for that: with .8 the estimate was 775 s instead of 315
PROMPT_TOKENS, PLAIN_TOKENS, ANSWER_TOKENS = 380, 100, 45  # with passages, without, and of an answer
ANSWER_COSTS = 3  # times as much as a token of a prompt
VARIED = 3  # questions to calibrate on, for each validation question
PLAIN_ARMS = {"base", "prompt", "tuned", "tuned+feedback", "cpt", "cpt+tuned", "experts"}
CHARS_PER_TOKEN = 4.2
MOST_CUT = 1000  # conversations whose replies are counted, which takes about 10 ms each; of more, every nth


class Item(Record):
    """One thing that was checked. A warning is something to look at that does not stop a build."""

    subject: str
    ok: bool
    detail: str
    warning: bool = False


class Checkup(Record):
    """What was checked, and the seconds that each stage will take; no estimates where there are problems."""

    items: tuple[Item, ...]
    stages_s: dict[str, float]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(f"{item.subject}: {item.detail}" for item in self.items if not item.ok)


class Sizes(Record):
    """How much data there is; `replies` are those of conversations that can be learned from."""

    files: int
    bytes: int
    replies: int
    tests: int


def examine(workspace: Workspace) -> Checkup:
    """Checks everything that a build needs; reports problems instead of raising them."""
    data, sizes = _data(workspace)
    project = Item(subject="project file", ok=True, detail=str(workspace.project.root))
    own = (*_training(workspace.project), *_agents(workspace), *_experts(workspace), *_cascade(workspace))
    served = (
        *_private(workspace.project),
        *_prices(workspace.project),
        *_budgets(workspace),
        *_secrets(workspace.project),
    )
    items = (project, *_machine(workspace), *data, *own, *served, *_languages(workspace), *_scans(workspace))
    stages = _estimates(workspace, sizes) if all(item.ok for item in items) else {}
    return Checkup(items=items, stages_s=stages)


def _training(project: Project) -> list[Item]:
    """What would fail only after hours, and what runs elsewhere than the settings say; nothing where all is well."""
    from inhouse.pipeline.pretrain import elsewhere

    items, arms = [], project.evaluation.arms
    checks = [functools.partial(check_trainable, project)]
    if any(arm.startswith(("tuned", *EXPERTS)) for arm in arms):
        checks.append(functools.partial(anywhere.check, project.training))
    elif not set(PRETRAINED_TUNED).isdisjoint(arms):
        checks.append(functools.partial(anywhere.check, project.training.model_copy(update={"backend": "local"})))
    for check in checks:
        try:
            check()
        except InhouseError as error:
            items.append(Item(subject="training", ok=False, detail=f"{error} ({error.hint})"))
    for own, tuning in ((PRETRAINED, False), (PRETRAINED_TUNED, True)):
        if not set(own).isdisjoint(arms) and (said := elsewhere(project, tuning)):
            items.append(Item(subject="training", ok=True, detail=said, warning=True))
    for arm, over in untouched.PAIRS:
        if arm in arms and over not in arms:
            said = f"evaluation.arms has {arm} but not {over}: nothing will show what feedback changed, and the release"
            items.append(Item(subject="training", ok=True, detail=f"{said} gate refuses {arm}", warning=True))
    return items


def _agents(workspace: Workspace) -> list[Item]:
    """Agents, their procedures, and tools; none where the project has none."""
    project = workspace.project
    if not project.agent:
        return []
    try:
        tools = tools_of(project)
        described(project, tools)
        found = [
            f"{procedure.name}, {problem.state or 'page'}: {problem.text}"
            for own in procedures_of(project).values()
            for procedure in own.values()
            for problem in problems(procedure, {name: runs.tool for name, runs in tools.items()})
            if problem.severity == "error"
        ]
    except InhouseError as error:
        return [Item(subject="agents", ok=False, detail=f"{error} {error.hint}".strip())]
    if found:
        more = f" (and {len(found) - 1} more: `inhouse procedure check`)" if found[1:] else ""
        return [Item(subject="agents", ok=False, detail=found[0] + more)]
    names = ", ".join(table.name for table in project.agent)
    return [Item(subject="agents", ok=True, detail=f"{names}; {len(tools)} tools")]


def _experts(workspace: Workspace) -> list[Item]:
    """The domain experts; none where the project has none."""
    project = workspace.project
    arms = {*EXPERTS} & {*project.evaluation.arms}
    if not project.expert and not arms:
        return []
    try:
        check_experts(project)
        for table in project.expert:
            walk(project.path(project.documents.path), own_project(project, table).documents)
            if missing := [f for f in (*table.conversations, *table.tests) if not project.path(f).is_file()]:
                raise InputError(f"[[expert]] {table.name}: {missing[0]}: no such file", "correct its name")
    except InhouseError as error:
        return [Item(subject="experts", ok=False, detail=f"{error} {error.hint}".strip())]
    names = ", ".join(t.name + (f" (for {', '.join(t.groups)})" if t.groups else "") for t in project.expert)
    more = "" if arms else '; "experts" is not in evaluation.arms'
    return [Item(subject="experts", ok=True, detail=names + more, warning=not arms)]


def _cascade(workspace: Workspace) -> list[Item]:
    """The rungs, their models, and how many questions the certificate takes; none where there is no cascade."""
    project, settings = workspace.project, workspace.project.cascade
    if not settings.rung:
        return []
    try:
        rungs = check_rungs(project)
        for rung in rungs:
            if rung.model:
                workspace.catalog.find(rung.model, project.root)
    except InhouseError as error:
        return [Item(subject="cascade", ok=False, detail=f"{error} {error.hint}".strip())]
    needed = [labels_needed(settings.max_wrong, wrong, 1 - settings.delta) for wrong in (0, 2)]
    text = (
        f"{' > '.join(r.label for r in rungs)}; certifying at most {100 * settings.max_wrong:g}% wrong takes "
        f"{needed[0]} answered questions if none is wrong, {needed[1]} if two are"
    )
    if {*CASCADES} & {*project.evaluation.arms}:
        return [Item(subject="cascade", ok=True, detail=text)]
    return [Item(subject="cascade", ok=True, detail=f'{text}; "cascade" is not in evaluation.arms', warning=True)]


def _private(project: Project) -> list[Item]:
    """What may leave this machine, by model elsewhere; none where no table says it."""
    if not project.private:
        return []
    try:
        check_private(project)
        if CASCADES[1] in project.evaluation.arms:
            check_private_arm(project)
    except InhouseError as error:
        return [Item(subject="leaving", ok=False, detail=f"{error} {error.hint}".strip())]
    policies = [
        f"{t.upstream}: " + ", ".join([t.default, *(f"{policy} for {group}" for group, policy in t.groups.items())])
        for t in project.private
    ]
    return [Item(subject="leaving", ok=True, detail="; ".join(policies))]


def _prices(project: Project) -> list[Item]:
    try:
        unpriced = check_prices(project)
    except InhouseError as error:
        return [Item(subject="prices", ok=False, detail=f"{error} {error.hint}".strip())]
    if not unpriced:
        return []
    detail = f"budgets in USD do not count what is paid to {', '.join(unpriced)}: add [[costs.price]]"
    return [Item(subject="prices", ok=True, detail=detail, warning=True)]


def _budgets(workspace: Workspace) -> list[Item]:
    """Budgets of keys that nobody can use, which would hold for nothing."""
    named = [table.of for table in workspace.project.budget if table.per == "key" and table.of]
    if not named or not workspace.was_served():
        return []
    from inhouse.store.keys import Keys
    from inhouse.store.tables import now_ms

    with workspace.ledger() as ledger:
        known = {name for key in Keys(ledger).all() if key.holds(now_ms()) for name in (key.id, key.name)}
    if not (unknown := [name for name in named if name not in known]):
        return []
    detail = f"no valid API key has the name or ID {', '.join(unknown)} of a [[budget]] table (see `inhouse keys list`)"
    return [Item(subject="budgets", ok=True, detail=detail, warning=True)]


def _secrets(project: Project) -> list[Item]:
    """Environment variables that settings name, and that are not set here."""
    unset = [f"{key} names {name}" for key, name in _variables(project.model_dump()) if not os.environ.get(name)]
    if not unset:
        return []
    detail = f"not set here, as whatever uses them will need: {'; '.join(unset)}"
    return [Item(subject="environment variables", ok=True, detail=detail, warning=True)]


def _variables(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The settings that name an environment variable, with its name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _variables(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _variables(inner, key)
    elif key.endswith("_env") and value:
        yield key, value


def _languages(workspace: Workspace) -> list[Item]:
    said = languages_of_documents(workspace)
    return [Item(subject="languages", ok=True, detail=said, warning="warning:" in said)] if said else []


def _scans(workspace: Workspace) -> list[Item]:
    """What OCR will read."""
    settings = workspace.project.documents
    try:
        said = scanned(workspace.project.path(settings.path), settings, workspace.store.cache("documents"))
    except InhouseError:  # said by other items
        return []
    return [Item(subject="scanned pages", ok=True, detail=said, warning="not read" in said)] if said else []


def _machine(workspace: Workspace) -> list[Item]:
    """Memory, cores, disk, models."""
    items = []
    if hasattr(os, "sysconf"):
        memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        items.append(Item(subject="memory", ok=memory_gb >= MIN_MEMORY_GB, detail=f"{memory_gb:.0f} GB"))
    cores, load = process.cores(), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = f"; other programs use them now (load {load:.0f}), and a build beside them takes longer than estimated"
    items.append(Item(subject="cores", ok=True, detail=f"{cores}{busy if load > cores else ''}", warning=load > cores))
    root = workspace.store.root if workspace.store.root.exists() else workspace.project.root
    disk_gb = shutil.disk_usage(root).free / 2**30
    writable = os.access(root, os.W_OK)
    detail = f"{disk_gb:.0f} GB free at {root}{'' if writable else ', which is not writable'}"
    items.append(Item(subject="disk", ok=disk_gb >= MIN_DISK_GB and writable, detail=detail))
    items += _from_scratch(workspace.project)
    base = workspace.project.model.base
    for name in (*([] if base == FROM_SCRATCH else [base]), workspace.project.retrieval.embedder, SPACY_MODEL):
        try:
            folder = workspace.catalog.find(name, workspace.project.root)
            items.append(Item(subject=f"model {name}", ok=True, detail=str(folder)))
        except InhouseError as error:
            items.append(Item(subject=f"model {name}", ok=False, detail=f"{error}; {error.hint}"))
    return items


def _from_scratch(project: Project) -> list[Item]:
    """What the training of the base model is for; none where the project has a known one."""
    if project.model.base != FROM_SCRATCH:
        return []
    try:
        text_files([project.path(name) for name in project.scratch.text])
    except InhouseError as error:
        return [Item(subject="scratch", ok=False, detail=f"{error}; {error.hint}")]
    shape = _shape(project)
    said = (
        f"{shape.parameters:,} parameters, compute-optimal on {shape.optimal_tokens:,} tokens; `inhouse scratch --plan`"
    )
    items = [Item(subject="scratch", ok=True, detail=said)]
    if project.training.method != "full":
        why = 'a base trained from scratch has never seen a conversation; set training.method = "full"'
        items.append(Item(subject="scratch", ok=True, detail=why, warning=True))
    most = project.training.max_prompt_tokens
    if project.scratch.context_tokens < most:
        why = f"scratch.context_tokens is less than training.max_prompt_tokens = {most}"
        items.append(Item(subject="scratch", ok=True, detail=why, warning=True))
    return items


def _base_weights(workspace: Workspace) -> float:
    """About how many weights the base model has."""
    if workspace.project.model.base == FROM_SCRATCH:
        return _shape(workspace.project).parameters
    files = [workspace.base_gguf] if workspace.base_gguf else sorted(workspace.base.glob("*.safetensors"))
    return sum(f.stat().st_size for f in files) / BYTES_PER_WEIGHT


def _scratch_s(project: Project, flops: float) -> dict[str, float]:
    """Seconds to train the base model, at so many operations a second; empty where the project has a known one."""
    if project.model.base != FROM_SCRATCH:
        return {}
    shape, settings = _shape(project), project.scratch
    seconds = (settings.tokens or shape.optimal_tokens) * shape.token_flops / flops
    return {"scratch": min(seconds, settings.minutes * 60) if settings.minutes else seconds}


def _shape(project: Project) -> Shape:
    settings = project.scratch
    return Shape(depth=settings.depth, vocabulary=settings.vocabulary, context_tokens=settings.context_tokens)


def _documents(folder: Path, settings: Documents) -> tuple[list[Item], list[Entry]]:
    """The files that can be read, and an item for each reason why others will not be."""
    try:
        files = walk(folder, settings)
    except InhouseError as error:
        return [Item(subject="documents", ok=False, detail=f"{error}; {error.hint}")], []
    groups = unread(files)
    lost = sum(group.files for group in groups)
    said = f"{len(files) - lost} files that can be read"
    detail = f"{said}, {lost} that cannot, {sum(file.size for file in files) / 2**20:.1f} MB in {folder}"
    items = [Item(subject="documents", ok=lost < len(files), detail=detail, warning=lost > 0)]
    for why, count, first in groups:
        names = first if count == 1 else f"{count} files such as {first}"
        items.append(Item(subject="not read", ok=True, detail=f"{why} ({names})", warning=True))
    return items, files


def _data(workspace: Workspace) -> tuple[list[Item], Sizes]:
    settings = workspace.project.curation
    folder = workspace.project.path(workspace.project.documents.path)
    items, files = _documents(folder, workspace.project.documents)
    total = sum(file.size for file in files)
    counts, replies = {}, 0
    for subject, names, read in (
        ("conversations", settings.conversations, read_conversations),
        ("tests", settings.tests, read_tests),
    ):
        paths, notes = [workspace.project.path(name) for name in names], Counter[str]()
        try:
            examples, rejected = read(paths, settings.where, notes) if paths else ([], [])
        except InhouseError as error:
            items.append(Item(subject=subject, ok=False, detail=f"{error}; {error.hint}"))
            continue
        counts[subject] = len(examples)
        detail = _lines(examples, rejected)
        if subject == "conversations" and examples:
            step = len(examples) // MOST_CUT + 1
            some = [len(cut(e, is_courtesy, settings.most_replies).examples) for e in examples[::step]]
            replies = round(sum(some) * len(examples) / len(some))
            detail += f"; {'about ' if step > 1 else ''}{replies} replies to learn from"
        detail += "".join(f"; {said}{f': {n}' if n > 1 else ''}" for said, n in notes.items() if n)
        items.append(Item(subject=subject, ok=bool(examples) or not paths, detail=detail))
    tests = counts.get("tests") or round(replies * settings.test_share)
    return items, Sizes(files=len(files), bytes=total, replies=replies, tests=tests)


def _lines(examples: Sequence[Example], rejected: Sequence[Rejected]) -> str:
    first = f"; the first: {rejected[0].file}:{rejected[0].line}: {rejected[0].reason}" if rejected else ""
    return f"{len(examples)} usable lines, {len(rejected)} rejected{first}"


def _estimates(workspace: Workspace, sizes: Sizes) -> dict[str, float]:
    """Seconds per stage."""
    project = workspace.project
    flops, weights = _flops(), _base_weights(workspace)
    prompt_tokens_s = flops * (PROMPT_SHARE_VNNI if _has_vnni() else PROMPT_SHARE) / (2 * weights)
    rows = min(sizes.replies, project.training.max_examples or sizes.replies)
    row_flops = 6 * (PROMPT_TOKENS + ANSWER_TOKENS) * weights
    train_s = rows * project.training.epochs * row_flops / (flops * TRAIN_SHARE)
    settings = project.evaluation
    questions = min(sizes.tests, settings.max_questions or sizes.tests) + settings.probes * len(KINDS)
    own = min(round(sizes.replies * project.curation.validation_share) * VARIED, MOST_QUESTIONS)
    calibrated = settings.arms if "confidence" in project.guardrails.rails else ()

    tune_s = 20 + min(train_s, project.training.max_minutes * 60 or math.inf)
    reads, both, routes = (not set(arms).isdisjoint(settings.arms) for arms in (PRETRAINED, PRETRAINED_TUNED, EXPERTS))
    read_s = _pretraining_s(project, sizes.bytes, weights, flops)

    def asked_s(counts: Mapping[Any, int]) -> float:
        tokens = {arm: PLAIN_TOKENS if arm in PLAIN_ARMS else PROMPT_TOKENS for arm in counts}
        return sum(n * (tokens[arm] + ANSWER_COSTS * ANSWER_TOKENS) for arm, n in counts.items()) / prompt_tokens_s

    return {
        "ingest": 2 + sizes.files * 0.05,
        "index": 3 + 1.3 * sizes.bytes / CHARS_PER_TOKEN / _embedded_tokens_s(workspace),
        "curate": 8 + 0.04 * sizes.replies,
        **_scratch_s(project, flops * TRAIN_SHARE),
        "train": tune_s,
        **({"experts": tune_s * len(project.expert)} if routes else {}),
        **({"pretrain": read_s + tune_s * both} if reads else {}),
        "parity": 45,
        "calibrate": asked_s({arm: own for arm in calibrated if arm in CUSTOMIZED}),
        "evaluate": asked_s(dict.fromkeys(settings.arms, questions)),
    }


def _pretraining_s(project: Project, size: int, weights: float, flops: float) -> float:
    """Seconds of continued pre-training on documents of so many bytes."""
    settings = project.pretraining
    share = max(1 - settings.general_share - settings.chat_share, 0.05)
    tokens = size / CHARS_PER_TOKEN * (1 + settings.rewrites) / share * settings.epochs
    seconds = 6 * tokens * weights / (flops * TRAIN_SHARE)
    limit = settings.max_minutes or project.training.max_minutes
    return 30 + (min(seconds, limit * 60) if limit else seconds)


def _embedded_tokens_s(workspace: Workspace) -> float:
    """Tokens per second of the embedder, which gives each core a text, while no other program runs."""
    texts = ["How long does it take until a transfer arrives at another bank? " * 8] * 24
    workspace.embedder.embed(texts[:2])
    started = time.process_time()
    workspace.embedder.embed(texts)
    return process.cores() * len(texts) * workspace.embedder.count_tokens(texts[0]) / (time.process_time() - started)


def _flops() -> float:
    """Floating-point operations per second of matrix products in 32 bits, on one core that no other program uses."""
    import numpy as np

    matrix = np.ones((1024, 1024), dtype=np.float32)
    started = time.process_time()
    for _ in range(20):
        matrix @ matrix
    return 20 * 2 * 1024**3 / (time.process_time() - started)


def _has_vnni() -> bool:
    """Whether the processor multiplies 8-bit numbers faster than 32-bit ones; False where the system does not say."""
    with suppress(OSError):
        return "avx512_vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return False
