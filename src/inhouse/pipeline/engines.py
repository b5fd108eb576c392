"""Which engine is faster on this machine: the same prompts, by each, remembered for `model.engine = "auto"`."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.models import engines
from inhouse.models.catalog import WEIGHTS
from inhouse.models.engine import Serves
from inhouse.models.llama import LlamaEngine
from inhouse.models.vllm import VllmEngine
from inhouse.pipeline.stages import weights
from inhouse.types import Message

AT_A_TIME = 4
TOKENS_EACH = 16  # room for a number, at most
PROMPTS, NUMBERS, ANSWER_TOKENS = 12, 150, 40  # numbers of up to four digits in a prompt, some 600 tokens


def measure(workspace: Workspace) -> dict[engines.Name, float]:
    """Answers per second of each installed engine over the project's base model; keeps them.

    Raises:
        InputError: the base model cannot be served by an engine.
    """
    from inhouse.training.folder import write_folder

    settings = workspace.project.model.model_copy(update={"parallel": AT_A_TIME})
    served = Path(weights(workspace).path) / WEIGHTS
    opened: dict[engines.Name, Callable[[], Serves]] = {"embedded": lambda: LlamaEngine(served, settings)}
    speeds: dict[engines.Name, float] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        workspace.progress.step("measuring engines", 1 + (engines.installed(workspace.catalog) is not None)) as step,
    ):
        if vllm := engines.installed(workspace.catalog):
            plain = Path(scratch) / "base"
            write_folder(workspace.base, plain)
            opened["vllm"] = lambda: VllmEngine(plain, settings, vllm)
        for name, make in opened.items():
            speeds[name] = _answers_s(make(), min(NUMBERS, settings.context_tokens // TOKENS_EACH))
            step.advance()
    engines.remember(workspace.catalog, speeds)
    return speeds


def _answers_s(engine: Serves, count: int) -> float:
    """Answers per second with AT_A_TIME prompts of `count` numbers in progress that have nothing in common; closes the
    engine."""
    model = engine.model("base")

    async def all_of(numbers: range) -> None:
        free = asyncio.Semaphore(AT_A_TIME)

        async def one(number: int) -> None:
            numbers_ = " ".join(str(7919 * (number + 1) * n % 9973) for n in range(count))
            question = Message(role="user", content=f"{number}. {numbers_} Continue this list.")
            async with free:
                await collect(model, ChatRequest(messages=(question,), max_tokens=ANSWER_TOKENS))

        await asyncio.gather(*(one(number) for number in numbers))

    try:
        asyncio.run(all_of(range(AT_A_TIME)))  # loads what the first answers load
        started = time.perf_counter()
        asyncio.run(all_of(range(AT_A_TIME, AT_A_TIME + PROMPTS)))
        return PROMPTS / (time.perf_counter() - started)
    finally:
        engine.close()
