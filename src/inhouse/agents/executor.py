"""The one place where a tool runs: what is not allowed is refused, and nothing runs twice.

A call is in the ledger before it runs, with a lease, and its result is in the ledger before anyone sees it. A call
whose result nobody knows, because the process was killed, the time was up, or the connection broke, is settled so:

- a tool that may be repeated (it reads, or is idempotent) runs again with the same key;
- else, if the tool names another one as its `check`, that one says whether it happened: the call is done, or failed;
- else it is unknown, and waits for a person. It never runs again by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial

from inhouse.agents.arguments import check_parameters, problem_of
from inhouse.agents.expression import Expression
from inhouse.agents.screening import Screen, screened
from inhouse.errors import BackendError, ConfigError, GateError, InhouseError, InputError
from inhouse.tools import ALWAYS, ENDED, NEVER, Call, Caller, Calls, Proposal, Runs, Status, Tool, ToolError
from inhouse.types import Digest, Json, digest_of

RULES = "rules"  # who declines a call that is not allowed
TRIES = 3  # runs of a repeatable tool without a known result
MARGIN_S = 10.0  # how long after its time limit a call may still be running; also how far clocks may be apart
SETTLE_S = 3.0  # a call that has not happened this long after its time limit will not happen any more
POLL_S = 0.1
PAUSES_S = (0.2, 1.0, 3.0)  # between tries to write what happened
MOST_CHARS = 200_000  # of a result as JSON
SHOWN = 500  # characters of a reason
WITHDRAWN = "the user does not want it any more"
OTHERS = "it is a call of another caller"
ELSEWISE = "another tool was called at this point of the turn"
LOST = "its caller is not in all groups any more in which it was proposed"
ABSENT = "the groups of its caller are not known now; it runs once they are"
STOPPED = "the process that ran it ended before its result was recorded"
Rights = Callable[[Caller], Caller | None]
_log = logging.getLogger(__name__)


class Executor:
    """Runs tools.

    Args:
        tools: by name; looked up for each call, so a tool may come, change, or go.
        calls: the ledger.
        screen: returns a text of a tool as the model may read it.
        margin_s: how long after its time limit a call may still be running before another process settles it.
        settle_s: how long after a doubt the check of a tool is asked for the second time.
        rights: of a call that runs while its caller is not there, such as after an approval: returns the caller with
            the groups and the role of now, None where nobody knows them. Raises InputError if the caller may do nothing
            any more. By default they are as they were.

    Raises:
        ConfigError: a tool has a schema, a condition for its approval, or a check that cannot be used.
    """

    def __init__(
        self, tools: Mapping[str, Runs], calls: Calls, screen: Screen | None = None, *, margin_s: float = MARGIN_S,
        settle_s: float = SETTLE_S, rights: Rights | None = None,
    ) -> None:  # fmt: skip
        self._tools, self._calls, self._screen = tools, calls, screen
        self._margin_s, self._settle_s, self._rights = margin_s, settle_s, rights
        self._running: set[asyncio.Task[Call]] = set()
        self._valid: set[Digest] = set()
        for runs in tools.values():
            self._check(runs.tool)

    async def run(self, proposal: Proposal, caller: Caller, allowed: Collection[str]) -> Call:
        """Runs a call, unless the same place of the same turn has one already: then that one is gone on with.

        A cancelled caller does not stop a call that has begun; its end is recorded.

        Args:
            allowed: the names of the tools that may run now.

        Returns:
            The call, which is done, failed, unknown, proposed (it waits for an approval, for the reason `why`),
            declined, or expired. What the rules refuse is declined by RULES, and is not in the ledger.

        Raises:
            GateError: the row of the call was changed behind the audit log.
            BackendError: the ledger cannot be read or written.
        """
        if refusal := self._refusal(proposal, caller, allowed):
            return Call(proposal=proposal, caller=caller, status="declined", by=RULES, why=refusal)
        return await self._whole(self._proposed(proposal, caller, allowed))

    async def settle(self, call: Call) -> Call:
        """Goes on with a call that was approved, or that a crash left started, or that is unknown. One that was
        approved is declined if its caller has lost a group since, and stays as it is while nobody knows.

        Returns and raises as `run` does; a call that has ended, or that waits, is returned as it is.
        """
        return await self._whole(self._gone_on(call.key))

    async def resume(self, key: Digest, caller: Caller) -> Call:
        """Goes on with the call of that key, as `settle` does, if its caller may still make it."""
        return await self._whole(self._resumed(key, caller))

    async def withdraw(self, key: Digest, caller: Caller) -> Call:
        """Declines a call that has not begun, for its caller; any other one is returned as it is."""
        call = await self._current(key)
        if call.status in ("proposed", "approved") and _whose(call.caller) == _whose(caller):
            return await self._declined(key, WITHDRAWN)
        return await self._current(key)

    async def recover(self) -> Sequence[Call]:
        """Settles the calls that crashed processes left, and runs those that were approved and not run yet; for the
        start of a server, and from time to time."""
        settled = []
        for call in await asyncio.to_thread(self._calls.interrupted):
            try:
                settled.append(await self.settle(call))
            except GateError as error:  # it stays as it is, and `inhouse audit verify` tells
                _log.error("%s (%s)", error, error.hint)
        return settled

    async def close(self) -> None:
        """Waits for the calls that are running."""
        if self._running:
            await asyncio.wait(self._running)

    # --- what is allowed ------------------------------------------------------------------------------------

    def _refusal(self, proposal: Proposal, caller: Caller, allowed: Collection[str]) -> str:
        """Why a call may not run; "" if it may, once it is approved."""
        runs = self._tools.get(proposal.tool)
        if runs is None or proposal.tool not in allowed:
            return f"the tool {proposal.tool[:80]!r} is not allowed here"
        return self._forbidden(runs.tool, proposal, caller)

    def _forbidden(self, tool: Tool, proposal: Proposal, caller: Caller) -> str:
        self._check(tool)
        if tool.groups and not tool.groups & caller.groups:
            return f"the tool {tool.name!r} is for other groups"
        if tool.roles and caller.role not in tool.roles:
            return f"the tool {tool.name!r} is for other roles"
        return problem_of(proposal.arguments, tool.parameters)

    def _check(self, tool: Tool) -> None:
        if tool.digest in self._valid:
            return
        check_parameters(tool.parameters, tool.name)
        if tool.approval not in (NEVER, ALWAYS):
            Expression(tool.approval)
        if tool.check:
            check = self._tools.get(tool.check)
            if check is None or check.tool.effect != "read":
                raise ConfigError(f"tool {tool.name}: its check {tool.check!r} is not a tool that reads")
        self._valid.add(tool.digest)

    # --- one call -------------------------------------------------------------------------------------------

    async def _whole(self, work: Coroutine[None, None, Call]) -> Call:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _proposed(self, proposal: Proposal, caller: Caller, allowed: Collection[str]) -> Call:
        tool = self._tools[proposal.tool].tool
        why = reason_to_ask(tool, proposal.arguments)
        new = Call(proposal=proposal, tool_digest=tool.digest, caller=caller, why=why)
        call = await asyncio.to_thread(self._calls.propose, new)
        if _whose(call.caller) != _whose(caller):
            return new.model_copy(update={"status": "declined", "by": RULES, "why": OTHERS})
        if call.proposal.tool != proposal.tool:
            return new.model_copy(update={"status": "declined", "by": RULES, "why": ELSEWISE})
        if call.status == "proposed" and (refusal := self._refusal(call.proposal, caller, allowed)):
            return call.model_copy(update={"status": "declined", "by": RULES, "why": refusal})
        return await self._gone_on(call.key, caller)

    async def _resumed(self, key: Digest, caller: Caller) -> Call:
        call = await self._current(key)
        if _whose(call.caller) != _whose(caller):
            return call.model_copy(update={"status": "declined", "by": RULES, "why": OTHERS, "result": None})
        runs = self._tools.get(call.proposal.tool)
        refusal = self._forbidden(runs.tool, call.proposal, caller) if runs else ""
        if refusal and call.status in ("proposed", "approved"):
            with suppress(InputError):  # it has begun meanwhile
                return await asyncio.to_thread(self._calls.decline, key, RULES, refusal)
        return await self._gone_on(key, caller)

    async def _gone_on(self, key: Digest, caller: Caller | None = None) -> Call:
        """`caller` is who asks for it now, None if that is not its caller."""
        call = await self._current(key)
        if call.status in ENDED:
            return call
        if call.status == "started" and call.lease_ms > _now_ms():
            return await self._awaited(call)
        runs = self._tools.get(call.proposal.tool)
        changed = runs is None or runs.tool.digest != call.tool_digest
        if call.status in ("started", "unknown"):
            return await self._resolved(call, None if changed else runs)
        if runs is None:
            return call.model_copy(update={"why": f"there is no tool {call.proposal.tool!r} now"})
        try:
            caller = caller or await self._rights_now(call.caller)
        except InputError as error:
            return await self._declined(key, str(error))
        if caller is None and (call.status != "approved" or call.until_ms > _now_ms()):
            return call.model_copy(update={"why": ABSENT})
        if caller is None:  # the approval has ended, and the start is refused
            await self._started(call, runs.tool, True)
            return await self._current(key)
        refusal = self._forbidden(runs.tool, call.proposal, caller)
        if changed or refusal:
            return await self._declined(key, refusal or f"the tool {runs.tool.name!r} has changed since")
        needs = bool(reason_to_ask(runs.tool, call.proposal.arguments))
        if needs and call.status == "proposed":
            return call
        if not await self._started(call, runs.tool, needs):
            return await self._awaited(call)
        return await self._attempted(call.model_copy(update={"caller": caller}), runs)

    async def _declined(self, key: Digest, why: str) -> Call:
        with suppress(InputError):  # it has begun meanwhile
            return await asyncio.to_thread(self._calls.decline, key, RULES, why)
        return await self._current(key)

    async def _rights_now(self, caller: Caller) -> Caller | None:
        """
        Raises:
            InputError: the caller may not make the call any more.
        """
        now = await asyncio.to_thread(self._rights, caller) if self._rights else caller
        if now is not None and not caller.groups <= now.groups:
            raise InputError(LOST)
        return now

    async def _current(self, key: Digest) -> Call:
        """
        Raises:
            GateError: its arguments are not those of its key.
        """
        call = await asyncio.to_thread(self._calls.get, key)
        if call is None or call.key != key:
            raise GateError(f"tool_call {key}: its arguments are not those that were proposed",
                            "run `inhouse audit verify`, and restore the row from a backup")  # fmt: skip
        return call

    async def _started(self, call: Call, tool: Tool, needs_approval: bool) -> bool:
        lease_ms = _now_ms() + round((tool.timeout_s + self._margin_s) * 1000)
        return await asyncio.to_thread(self._calls.start, call.key, lease_ms, needs_approval)

    async def _awaited(self, call: Call) -> Call:
        """The call once another process has ended it; settled if that process does not."""
        while (now := await self._current(call.key)).status == "started":
            if now.lease_ms <= _now_ms():
                return await self._gone_on(call.key)
            await asyncio.sleep(POLL_S)
        return now

    async def _attempted(self, call: Call, runs: Runs) -> Call:
        """Runs the tool of a call that this process has started, and records what came of it."""
        tool = runs.tool
        for left in reversed(range(TRIES if tool.repeatable else 1)):
            try:
                async with asyncio.timeout(tool.timeout_s):
                    result = await runs.run(call.proposal.arguments, call.key, call.caller)
            except ToolError as error:
                return await self._ended(call.key, "failed", why=await self._words(str(error)))
            except asyncio.CancelledError:  # the process ends: there is no time left to wait for a thread
                self._calls.end(call.key, "unknown", why="stopped while it was running")
                raise
            except Exception as error:
                doubt = await self._words(_doubt(error, tool))
            else:
                return await self._done(call.key, result)
            if not left:
                break
            await self._ended(call.key, "unknown", why=doubt)
            await asyncio.sleep(PAUSES_S[0])
            if not await self._started(call, tool, True):
                return await self._awaited(call)
        if tool.check and not tool.repeatable:
            return await self._asked(call, tool, doubt, final=False)
        return await self._ended(call.key, "unknown", why=doubt)

    async def _resolved(self, call: Call, runs: Runs | None) -> Call:
        """Settles a call whose result nobody knows; `runs` is its tool, None if it is gone or has changed."""
        helps = runs is not None and (runs.tool.repeatable or bool(runs.tool.check))
        if call.status == "unknown" and not helps:
            return call
        lease_s = runs.tool.timeout_s if runs else 0.0
        lease_ms = _now_ms() + round((lease_s + self._margin_s) * 1000)
        if not await asyncio.to_thread(self._calls.start, call.key, lease_ms, True):
            return await self._awaited(call)
        if runs is not None and runs.tool.repeatable:
            return await self._attempted(call, runs)
        if runs is not None and runs.tool.check:
            return await self._asked(call, runs.tool, call.why or STOPPED, final=True)
        why = STOPPED if runs else f"{STOPPED}, and its tool is gone or has changed since"
        return await self._ended(call.key, "unknown", why=why)

    async def _asked(self, call: Call, tool: Tool, doubt: str, final: bool) -> Call:
        """What the check of a tool says. If it is not `final`, the call may still be under way, and it is asked twice
        before it counts as not happened."""
        for wait_s in (0.0,) if final else (0.0, self._settle_s):
            await asyncio.sleep(wait_s)
            happened, result = await self._check_of(call, tool)
            if happened is None:
                return await self._ended(call.key, "unknown", why=f"{doubt}; {tool.check} does not say what happened")
            if happened:
                return await self._done(call.key, result)
        return await self._ended(call.key, "failed", why=f"{doubt}; {tool.check} says that it did not happen")

    async def _check_of(self, call: Call, tool: Tool) -> tuple[bool | None, Json]:
        check = self._tools.get(tool.check)
        if check is None or check.tool.effect != "read":
            return None, None
        known = check.tool.parameters.get("properties", {})
        arguments = {name: value for name, value in call.proposal.arguments.items() if name in known}
        if problem_of(arguments, check.tool.parameters):
            return None, None
        try:
            async with asyncio.timeout(check.tool.timeout_s):
                answer = await check.run(arguments, call.key, call.caller)
        except Exception as error:
            _log.warning("the check %s of %s failed: %s", check.tool.name, tool.name, type(error).__name__)
            return None, None
        if not isinstance(answer, dict) or not isinstance(answer.get("happened"), bool):
            return None, None
        return answer["happened"], answer.get("result")

    # --- what came of it ------------------------------------------------------------------------------------

    async def _done(self, key: Digest, result: Json) -> Call:
        try:
            text = json.dumps(result, ensure_ascii=False)
            raw = digest_of(result)
        except (TypeError, ValueError, RecursionError) as error:
            return await self._ended(key, "done", why=f"its result is not JSON ({type(error).__name__})")
        if len(text) > MOST_CHARS:
            why = f"its result is withheld: {len(text):,} characters, at most {MOST_CHARS:,} are allowed"
            return await self._ended(key, "done", raw=raw, why=why)
        try:
            readable = await screened(result, self._screen)
        except Exception as error:  # the effect is there, whatever the rail does
            _log.warning("a result could not be screened: %s", type(error).__name__)
            return await self._ended(key, "done", raw=raw, why="its result is withheld: it could not be screened")
        return await self._ended(key, "done", result=readable, raw=raw)

    async def _words(self, text: str) -> str:
        """What a tool says of its failure, as the model may read it."""
        try:
            return str(await screened(text[:SHOWN], self._screen))
        except Exception as error:
            _log.warning("a reason could not be screened: %s", type(error).__name__)
            return "its reason is withheld: it could not be screened"

    async def _ended(self, key: Digest, status: Status, result: Json = None, why: str = "", raw: Digest = "") -> Call:
        """Records the end, also if the database fails for a moment. Where the call was ended by someone else, such as a
        process that settled it after its lease, it is returned as it is."""
        end = partial(self._calls.end, key, status, result, why, raw)
        for pause_s in (*PAUSES_S, None):
            try:
                return await asyncio.to_thread(end)
            except InputError:
                return await self._current(key)
            except BackendError:
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")


def reason_to_ask(tool: Tool, arguments: Mapping[str, Json]) -> str:
    """Why a person must approve a call; "" if none must. A condition about something without a value needs one."""
    if tool.approval == NEVER:
        return ""
    if tool.approval == ALWAYS:
        return f"{tool.name} always needs an approval"
    condition = Expression(tool.approval)
    if condition.knows_all(arguments) and condition.value(arguments) is False:
        return ""
    return f"{tool.name} needs an approval if {tool.approval}"


def _whose(caller: Caller) -> tuple[str, str]:
    return caller.user, caller.key


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _doubt(error: Exception, tool: Tool) -> str:
    """Why it is not known whether the call happened."""
    if isinstance(error, TimeoutError):
        return f"no result within {tool.timeout_s:g} s"
    _log.warning("tool %s: %s", tool.name, type(error).__name__)
    return str(error) if isinstance(error, InhouseError) else f"it failed in an unknown way ({type(error).__name__})"
