"""Reservations of budgets by a gateway: at once where nobody else writes, else by one thread per process that makes all
queued ones in one transaction.

At once is half a millisecond on SQLite, less than a thread takes to begin. Where another process or thread writes, or
on PostgreSQL, the event loop does not wait: the thread does, and it also sends alerts.

The transaction does not wait for the disk: a reservation has to outlive the process, not the machine. Where the power
fails, a reservation may be gone with the request that it was for; the budget is then as the audit log has it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from inhouse.errors import BackendError
from inhouse.store.budgets import Amount, BudgetAlert, Limit, Refusal, Settlement, Wanted, reserve, settle
from inhouse.store.ledger import WAIT_S, Ledger, bounded
from inhouse.store.tables import now_ms

GROUP = 200
log = logging.getLogger("inhouse.store")
Result = Refusal | None | Exception


@dataclass(frozen=True, eq=False)
class _Waiting:
    wanted: Wanted | str | BudgetAlert  # a reservation to make, the ID of one to give back, or news to send
    loop: asyncio.AbstractEventLoop | None = None
    future: asyncio.Future[Refusal | None] | None = None


class Reservations:
    """The thread that reserves. It starts with the first request.

    Args:
        ledger: of the project.
        alert: called in the thread for each new alert, once per budget and period over all processes; it may be
            replaced later. Without one, alerts are logged.
        clock: the time in milliseconds since 1970.
    """

    def __init__(
        self, ledger: Ledger, alert: Callable[[BudgetAlert], object] | None = None, clock: Callable[[], int] = now_ms
    ) -> None:
        self._ledger, self._clock = ledger, clock
        self.alert: Callable[[BudgetAlert], object] = alert or _logged
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock, self._unfinished = threading.Lock(), 0  # what the thread has not written yet

    async def reserve(self, id: str, limits: Sequence[Limit], amount: Amount, lease_ms: int) -> Refusal | None:
        """Reserves an amount of all limits for an exchange; the refusal if one of them has not enough left.

        Args:
            id: of the exchange, under which it is settled.
            limits: that it counts for.
            amount: the most that it may use.
            lease_ms: how long it may take; after that the amount is charged.

        Raises:
            BackendError: the database fails.
        """
        wanted = Wanted(id, limits, amount, self._clock() + lease_ms)
        if self._ledger.sqlite and not self._unfinished:  # what was given back before counts
            with suppress(BackendError):
                return self._commit([wanted], wait_s=0)[0]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Refusal | None] = loop.create_future()
        self._put(_Waiting(wanted, loop, future))
        return await future

    def release(self, id: str) -> None:
        """Gives back, soon, what was reserved for an exchange for which no model was asked."""
        self._put(_Waiting(id))

    def settle(self, settlement: Settlement) -> None:
        """Settles what the audit log does not record, such as embeddings.

        Raises:
            BackendError: the database fails.
        """
        with self._ledger.write() as connection:
            bounded(connection)
            settle(connection, [settlement])

    def close(self) -> None:
        """Stops the thread once it has done what is queued."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _put(self, waiting: _Waiting) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="budgets", daemon=True)
            self._thread.start()
        with self._lock:
            self._unfinished += 1
        self._queue.put(waiting)

    def _run(self) -> None:
        while group := self._take():
            try:
                results: Sequence[Result] = self._commit([w.wanted for w in group])
            except Exception as error:  # of any kind: callers must get it, and the thread must continue
                failed = BackendError(f"budgets could not be written ({type(error).__name__})")
                failed.__cause__ = error
                if any(w.future is None for w in group):  # nobody is told
                    log.error("budgets: what was reserved was not given back", exc_info=error)
                results = [failed] * len(group)
            with self._lock:
                self._unfinished -= len(group)
            for waiting, result in zip(group, results, strict=True):
                if waiting.loop is None or waiting.future is None:
                    continue
                try:
                    waiting.loop.call_soon_threadsafe(_deliver, waiting.future, result)
                except RuntimeError:  # the loop is closed, so nobody is waiting
                    continue

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        try:
            while len(group) < GROUP:
                waiting = self._queue.get() if not group else self._queue.get_nowait()
                if waiting is None:
                    if group:
                        self._queue.put(None)
                    break
                group.append(waiting)
        except queue.Empty:
            pass
        return group

    def _send(self, alert: BudgetAlert) -> None:
        try:
            self.alert(alert)
        except Exception as error:  # of any kind: requests do not depend on it
            log.error("an alert could not be sent", exc_info=error)

    def _commit(self, group: Sequence[Wanted | str | BudgetAlert], wait_s: float = WAIT_S) -> list[Refusal | None]:
        wanted = [w for w in group if isinstance(w, Wanted)]
        given_up = {w.id for w in wanted}  # by a caller that left before it knew
        back = [Settlement(w, Amount()) for w in group if isinstance(w, str)]
        for alert in (w for w in group if isinstance(w, BudgetAlert)):
            self._send(alert)
        if not (wanted or back):
            return [None] * len(group)
        with self._ledger.write(wait_s, soon=True) as connection:
            bounded(connection)
            settle(connection, [s for s in back if s.id not in given_up])
            made, alerts = reserve(connection, self._ledger, wanted, self._clock())
            settle(connection, [s for s in back if s.id in given_up])
        for alert in alerts:
            self._put(_Waiting(alert))
        refusals = iter(made)
        return [next(refusals) if isinstance(w, Wanted) else None for w in group]


def _logged(alert: BudgetAlert) -> None:
    log.warning("budget %s: %s", alert.kind, alert.limit.name)


def _deliver(future: asyncio.Future[Refusal | None], result: Result) -> None:
    if future.done():  # the caller is gone
        return
    if isinstance(result, Exception):
        failed = BackendError(str(result))
        failed.__cause__ = result.__cause__
        future.set_exception(failed)
    else:
        future.set_result(result)
