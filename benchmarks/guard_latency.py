"""What the default rails add to the time of an exchange.

    python benchmarks/guard_latency.py PROJECT [--arm rag] [--most 60] [--sections instant,together,beside]

compares the rails of a project in threads of this process and in processes of their own, as a server has them, in
turns. `instant` asks the test questions of a model that takes no time, so that all of the rails' work is waited for;
`together` asks it by 8 clients at once. `beside` asks an arm of the project with the rails and without. The time added
is the wait before the model is asked and after its last word, which is longer if a rail lags behind the sentences. It
is reported next to how much slower the model is while the rails share its processors. `latency`, which `guardrails.py`
runs, is `instant` for the default rails in threads and each of them alone.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # for guardrail_training
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the product's commands do, before NumPy is imported

import numpy as np

from guardrail_training import data as sets
from inhouse.assembly.guard import ACTIONS, Parts, guards_of
from inhouse.assembly.isolated import Isolated, pool
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Finish, Note, collect
from inhouse.config.load import load_project
from inhouse.guardrails import toxicity
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.format import Format
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.rail import Groundedness, with_title
from inhouse.guardrails.guarded import Guarded, GuardedSettings
from inhouse.guardrails.injection import indirect, jailbreak
from inhouse.guardrails.injection.indirect import IndirectInjection
from inhouse.guardrails.injection.jailbreak import Jailbreak
from inhouse.guardrails.pii import Pii
from inhouse.guardrails.rail import Guard, Turn
from inhouse.guardrails.runner import Runner, Threads
from inhouse.guardrails.toxicity import Toxicity
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.models.scripted import Scripted
from inhouse.pipeline.ask import open_arms
from inhouse.pipeline.opened import calibration_of
from inhouse.pipeline.stages import curate, index
from inhouse.privacy.anonymize import Anonymizer
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.privacy.tagger import read_tagger
from inhouse.text.cache import CachedEmbedder
from inhouse.text.sentences import sentences, windows
from inhouse.text.support import LexicalSupport
from inhouse.types import Example, Message, Passage

HERE = Path(__file__).parent
SETTINGS = GuardedSettings(handoff="A colleague will help.")


class _Grounded(Scripted):
    """A scripted model that notes its passages before it answers, as `Grounded` does."""

    passages: Sequence[Passage] = ()
    answer = ""

    def __init__(self) -> None:
        super().__init__(lambda request: self.answer)

    async def stream(self, request):
        yield Note(layer="grounded", kind="passages", data=[p.model_dump(mode="json") for p in self.passages])
        async for event in super().stream(request):
            yield event


class _Case(NamedTuple):
    request: ChatRequest
    passages: list[Passage]
    answer: str


class _Timed:
    """A ChatModel that records when it was asked and when it finished, however slowly its events are read."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.name = model.name
        self.began = self.ended = 0.0

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        events: asyncio.Queue[ChatEvent] = asyncio.Queue()

        async def listen() -> None:
            async for event in self._model.stream(request):
                if isinstance(event, Finish):
                    self.ended = time.perf_counter()
                events.put_nowait(event)

        self.began = time.perf_counter()
        listening = asyncio.create_task(listen())
        while not listening.done() or not events.empty():
            event = await events.get()
            yield event
            if isinstance(event, Finish):
                break
        await listening


def chain() -> tuple[CachedEmbedder, dict[str, Guard]]:
    """The rails that are on by default."""
    embedder = CachedEmbedder(OnnxEmbedder(Catalog().find("minilm-l6-v2", HERE)))
    support = LexicalSupport("", embedder)
    finder = Anonymizer(Catalog().find(SPACY_MODEL, HERE))
    return embedder, {
        "pii": Guard(Pii(finder, read_tagger(TAGGER)), ACTIONS["pii"]),
        "injection": Guard(Jailbreak(embedder, jailbreak.shipped()), {"input": "block"}),
        "indirect": Guard(IndirectInjection(embedder, indirect.shipped()), {"passages": "flag"}),
        "toxicity": Guard(Toxicity(embedder, toxicity.shipped()), ACTIONS["toxicity"]),
        "format": Guard(Format(), ACTIONS["format"]),
        "groundedness": Guard(Groundedness(embedder, alignment.shipped(), support), ACTIONS["groundedness"]),
    }


def latency(data: Path, most: int) -> dict:
    """What the default rails add to answers that take no time: all of them, and each alone."""
    embedder, guards = chain()
    rows = [r for r in sets.lines(data / "concierge" / "dev.jsonl") if r["needs_knowledge"]]
    docs = sets.documents(data / "concierge" / "documents")
    rng = random.Random(5)
    exchanges = []
    for row in random.Random(5).sample(rows, min(most, len(rows))):
        name = row["sources"][0]["document"]
        own = [
            Passage(source=name, title="", heading="", text=p) for p in rng.sample(docs[name], min(4, len(docs[name])))
        ]
        messages = tuple(Message(**m) for m in row["messages"][:-1])
        exchanges.append(_Case(ChatRequest(messages=messages), own, row["messages"][-1]["content"]))

    async def run(chain: Sequence[Guard]) -> tuple[list[float], float]:
        taken, cpu = [], time.process_time()
        guarded = Guarded(model := _Grounded(), Threads(chain), SETTINGS)
        for request, model.passages, model.answer in exchanges:
            started = time.perf_counter()
            await collect(guarded, request)
            taken.append((time.perf_counter() - started) * 1000)
        guarded.close()
        return taken, (time.process_time() - cpu) * 1000 / len(exchanges)

    asyncio.run(run(list(guards.values())))  # warm up: passages and earlier turns are cached
    results = {}
    print(f"latency: {len(exchanges)} exchanges of the concierge, ms added to the model's")
    for name, some in {"all rails": list(guards.values()), **{n: [g] for n, g in guards.items()}}.items():
        _forget(embedder, guards, exchanges)
        taken, cpu = asyncio.run(run(some))
        p50, p95 = np.quantile(taken, [0.5, 0.95])
        results[name] = {"p50_ms": float(p50), "p95_ms": float(p95), "cpu_ms": cpu}
        aim = "  (aim p95 60)" if name == "all rails" else ""
        print(f"  {name:<12} p50 {p50:6.1f}  p95 {p95:6.1f}  processor {cpu:6.1f}{aim}")
    load = os.getloadavg()[0]
    print(f"  load average {load:.1f} on {os.cpu_count()} cores: above that number, wall-clock times mean little")
    return results | {"load": load}


def _forget(embedder: CachedEmbedder, guards: dict[str, Guard], exchanges: Sequence[_Case]) -> None:
    """Removes the last questions and the answers from the caches, but not earlier turns and passages."""
    passages = [p for e in exchanges for p in e.passages]
    before = {s for p in passages for s in sentences(with_title(p))}
    before |= {s for p in passages for s in indirect.sentences(p.text)}
    turns = {m.content for e in exchanges for m in e.request.messages[:-1]}
    before |= {w for t in turns for w in windows(t)}
    for cache in (embedder._vectors, embedder._read, guards["groundedness"].rail._projected):
        for text in [t for t in cache if t not in before]:
            del cache[text]
    recognizers = guards["pii"].rail._finder._recognizers
    for cache in (recognizers._seen, recognizers._entities_seen, guards["pii"].rail._cache):
        for text in [t for t in cache if t not in turns]:
            del cache[text]


async def instant(runners: dict[str, Runner], cases: Sequence[_Case]) -> None:
    """What the rails add to answers that take no time, in turns, after the same questions filled the caches."""
    taken: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(3):
        for n, case in enumerate(cases):
            new = _asked_again(case, f"{turn}{n}")
            for name in list(runners)[:: 1 if n % 2 else -1]:
                started = time.perf_counter()
                await collect(Guarded(_grounded(new), runners[name], SETTINGS), new.request)
                taken[name].append((time.perf_counter() - started) * 1000)
    print(f"an instant model, {len(cases)} questions")
    for name, ms in taken.items():
        p50, p95 = np.quantile(ms[len(cases) :], [0.5, 0.95])
        print(f"  {name:<10} p50 {p50:6.1f} ms  p95 {p95:6.1f}  (aim 60)")


async def together(runners: dict[str, Runner], cases: Sequence[_Case], clients: int = 8) -> None:
    """Answers per second of an instant model for several clients at once, and how late the event loop is."""
    rates: dict[str, list[float]] = {name: [] for name in runners}
    waits: dict[str, list[float]] = {name: [] for name in runners}

    async def ask(name: str, some: Sequence[_Case]) -> None:
        for case in some:
            await collect(Guarded(_grounded(case), runners[name], SETTINGS), case.request)

    async def watch(waited: list[float]) -> None:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            waited.append((time.perf_counter() - started - 0.005) * 1000)

    for turn in range(4):
        for name in list(runners)[:: 1 if turn % 2 else -1]:
            watching, started = asyncio.create_task(watch(waits[name])), time.perf_counter()
            # Digits make each question new to the caches.
            new = [_asked_again(c, f"{turn}/{n}") for n, c in enumerate(cases)]
            await asyncio.gather(*(ask(name, new[n::clients]) for n in range(clients)))
            rates[name].append(len(new) / (time.perf_counter() - started))
            watching.cancel()
    print(f"{clients} clients at once")
    for name in runners:
        p99 = np.quantile(waits[name], 0.99)
        print(f"  {name:<10} {np.median(rates[name]):5.1f} answers/s  event loop late p99 {p99:5.1f} ms")


def _grounded(case: _Case) -> _Grounded:
    model = _Grounded()
    model.passages, model.answer = case.passages, case.answer
    return model


def _asked_again(case: _Case, number: str) -> _Case:
    *earlier, last = case.request.messages
    question = last.model_copy(update={"content": f"{last.content} ({number})"})
    return case._replace(request=case.request.model_copy(update={"messages": (*earlier, question)}))


async def beside(model: ChatModel, requests: Sequence[ChatRequest], runners: dict[str, Runner]) -> None:
    """Asks with the rails and without in turns; another question comes between, so that the engine's prompt cache helps
    none."""
    timed = _Timed(model)
    guarded = {name: Guarded(timed, runner, SETTINGS) for name, runner in runners.items()}
    ways = [*guarded, ""]
    before, after, busy = ({name: [] for name in ways} for _ in range(3))

    async def ask(request: ChatRequest, way: str) -> None:
        if way and len(request.messages) > 2:  # earlier turns were checked when they were asked
            last = max(i for i, m in enumerate(request.messages[:-1]) if m.role == "user")
            earlier = request.model_copy(update={"messages": request.messages[: last + 1]})
            await guarded[way].check("input", earlier.messages[-1].content, Turn(earlier))
        started = time.perf_counter()
        await collect(guarded.get(way, timed), request)
        before[way].append((timed.began - started) * 1000)
        after[way].append((time.perf_counter() - timed.ended) * 1000)
        busy[way].append((timed.ended - timed.began) * 1000)

    for n in range(len(requests)):
        for turn in range(len(ways)):
            at = (n + turn * len(requests) // len(ways)) % len(requests)
            await ask(requests[at], ways[(n + turn) % len(ways)])
        print(f"\r  {n + 1} of {len(requests)} asked", end="", flush=True)
    print(f"\rwith a model, {len(requests)} questions")
    for way in guarded:
        for name, taken in {
            "added": np.add(before[way], after[way]),
            "before": before[way],
            "after": after[way],
        }.items():
            p50, p95 = np.quantile(taken, [0.5, 0.95])
            print(f"  {way:<10} {name:<6} p50 {p50:5.1f} ms  p95 {p95:5.1f}{'  (aim 60)' if name == 'added' else ''}")
        slower = np.mean(busy[way]) / np.mean(busy[""]) - 1
        print(f"  {way:<10} the model itself takes {np.mean(busy['']):.0f} ms, with the rails {slower:+.1%}")


def cases_of(workspace: Workspace, examples: Sequence[Example]) -> list[_Case]:
    """Each question with the passages that are found for it and its known answer."""
    at = index(workspace)
    grounding = workspace.grounding(workspace.index(at, workspace.fusion_of(at)))
    return [
        _Case(ChatRequest(messages=e.messages), list(grounding.passages(e.messages, frozenset())), e.target)
        for e in examples
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--arm", default="rag")
    parser.add_argument("--most", type=int, default=60)
    parser.add_argument("--sections", default="instant,together,beside")
    given = parser.parse_args()
    workspace = Workspace(load_project(given.project))
    examples = [e for e in workspace.examples("test", curate(workspace)) if e.origin == "human"]
    random.Random(7).shuffle(examples)
    examples = examples[: given.most]
    parts = Parts(workspace, workspace.project, calibration_of(workspace), given.arm)
    processes = pool(workspace.project.model.parallel)
    runners = {"threads": Threads(guards_of(parts)), "processes": Isolated(processes)(parts)}
    for section in given.sections.split(","):
        if section == "beside":
            limit = workspace.project.assistant.max_tokens
            requests = [ChatRequest(messages=e.messages, max_tokens=limit) for e in examples]
            with closing(open_arms(workspace, bare=True)) as arms:
                asyncio.run(beside(arms.open(given.arm), requests, runners))
        else:
            run = {"instant": instant, "together": together}[section]
            asyncio.run(run(runners, cases_of(workspace, examples)))
    processes.close()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: above that number, times mean little")


if __name__ == "__main__":
    main()
