"""Asks an arm of a project questions and records the answers with passages, token probability and scores.

    python benchmarks/guard_answers.py PROJECT FOLDER [--arm rag] [--splits test validation] [--most 200] [--store S]

It writes FOLDER/answers.jsonl, which `guardrails.py --answers FOLDER` reads. Questions that are already in it are not
asked again, so it can be interrupted at any time.
"""

import argparse
import asyncio
import json
import random
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.errors import InhouseError
from inhouse.evaluation.scorers import Scorer
from inhouse.guardrails.guarded import Guarded, GuardedSettings
from inhouse.guardrails.runner import Threads
from inhouse.pipeline.ask import open_arms
from inhouse.pipeline.stages import curate
from inhouse.types import Example


async def ask(
    model: Guarded, workspace: Workspace, scorer: Scorer, questions: list[tuple[str, Example]], out: Path
) -> None:
    free = asyncio.Semaphore(workspace.project.model.parallel)
    with out.open("a", encoding="utf-8") as log:

        async def one(split: str, e: Example) -> None:
            async with free:
                try:
                    request = ChatRequest(messages=e.messages, max_tokens=workspace.project.assistant.max_tokens)
                    reply = await collect(model, request)
                    second = await model.second(request)
                except InhouseError as error:
                    print(f"{e.id}: {error}")
                    return
            passages = reply.note("grounded", "passages") or []
            evidence = [*([e.target] if e.target else []), *(f"{p['heading']}. {p['text']}" for p in passages)]
            row = {
                "id": e.id, "split": split, "example": e.model_dump(mode="json"), "text": reply.text,
                "declined": scorer.declines(reply.text), "second": second,
                "passages": passages, "confidence": reply.finish.confidence, "reason": reply.finish.reason,
                "scores": scorer.score(e, reply.text, evidence, reply.finish.reason == "length"),
            }  # fmt: skip
            log.write(json.dumps(row) + "\n")
            log.flush()

        await asyncio.gather(*(one(split, e) for split, e in questions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arm", default="rag")
    parser.add_argument("--splits", nargs="*", default=["test", "validation"])
    parser.add_argument("--most", type=int, default=200, help="questions of each split")
    parser.add_argument("--second", type=int, default=0, help="length of a second, sampled answer in tokens")
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    workspace = Workspace(
        load_project(given.project, {"store.path": str(given.store.resolve())} if given.store else {})
    )
    data = curate(workspace)
    given.folder.mkdir(parents=True, exist_ok=True)
    out = given.folder / "answers.jsonl"
    done = {json.loads(line)["id"] for line in out.open(encoding="utf-8")} if out.exists() else set()
    questions = []
    for split in given.splits:
        own = [e for e in workspace.examples(split, data) if e.origin == "human"]
        random.Random(7).shuffle(own)
        questions += [(split, e) for e in own[: given.most] if e.id not in done]
    replies = [e.target for e in workspace.examples("train", data) if e.origin == "human"][:300]
    arms = open_arms(workspace, bare=True)
    model = Guarded(arms.open(given.arm), Threads([]), GuardedSettings(handoff="", second_tokens=given.second))
    try:
        scorer = Scorer(workspace.embedder, workspace.support, replies)
        asyncio.run(ask(model, workspace, scorer, questions, out))
    finally:
        arms.close()


if __name__ == "__main__":
    main()
