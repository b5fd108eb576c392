"""Who runs the rails: threads of this process, or the processes of a `Pool`."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from inhouse.guardrails.rail import Finding, Guard, Rules, Side, Turn, checked

TIMED_OUT = "timed out"


class Result(NamedTuple):
    """What one rail reported about a text, or why it could not; `trace` is for the log."""

    finding: Finding | None
    spent_s: float = 0.0
    failed: str = ""
    trace: str = ""


class Runner(Protocol):
    """Runs rails; `rules` has one entry per rail, in their order."""

    @property
    def rules(self) -> Sequence[Rules]: ...

    async def run(self, which: Sequence[int], side: Side, text: str, turn: Turn) -> list[Result]:
        """Runs the rails at those positions, all at the same time; what they keep in the turn is there afterwards."""
        ...

    def close(self) -> None: ...


class Threads:
    """A Runner in this process, for tests, evaluation, and the command line: a rail that times out is no longer waited
    for, but runs on."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self.rules = tuple(g.rules for g in guards)
        self._guards = tuple(guards)
        self._threads = ThreadPoolExecutor(4 * max(len(guards), 1), thread_name_prefix="rail")

    async def run(self, which: Sequence[int], side: Side, text: str, turn: Turn) -> list[Result]:
        return await asyncio.gather(*(self._run(self._guards[n], side, text, turn) for n in which))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, guard: Guard, side: Side, text: str, turn: Turn) -> Result:
        loop, started = asyncio.get_running_loop(), time.perf_counter()
        finding, failed, trace = None, "", ""
        try:
            async with asyncio.timeout(guard.timeout_s):
                finding = await loop.run_in_executor(self._threads, checked, guard.rail, side, text, turn)
        except TimeoutError:
            failed = TIMED_OUT
        except Exception as error:
            failed, trace = failure(error), traceback.format_exc()
        return Result(finding, time.perf_counter() - started, failed, trace)


class OneSide:
    """A Runner that checks one side alone, of another one, which closes itself."""

    def __init__(self, runner: Runner, side: Side) -> None:
        self._runner = runner
        self.rules = tuple(r._replace(actions={s: a for s, a in r.actions.items() if s == side}) for r in runner.rules)

    async def run(self, which: Sequence[int], side: Side, text: str, turn: Turn) -> list[Result]:
        return await self._runner.run(which, side, text, turn)

    def close(self) -> None:
        return None


def failure(error: BaseException) -> str:
    """How a decision names an error of a rail."""
    return f"failed ({type(error).__name__})"
