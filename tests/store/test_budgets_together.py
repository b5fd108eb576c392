"""Budgets of several processes, which are killed: exact, and charged when the lease ends."""

import os
import signal
import subprocess
import sys

from inhouse.store.budgets import Amount, Budgets
from inhouse.store.ledger import Ledger
from inhouse.store.tables import now_ms

WORKER = """
import asyncio, sys
from inhouse.store.budgets import Amount, Limit, Settlement
from inhouse.store.ledger import Ledger
from inhouse.store.reservations import Reservations

ledger = Ledger(sys.argv[1])
reservations, limit = Reservations(ledger), [Limit(per="project", most=Amount(0, 0, 30))]

async def ask(n):
    if await reservations.reserve(f"{sys.argv[2]}-{n}", limit, Amount(10, 5, 1), 60_000) is not None:
        return
    print("asked", flush=True)
    if sys.argv[2] != "killed":
        reservations.settle(Settlement(f"{sys.argv[2]}-{n}", Amount(7, 3, 1)))

async def main():
    for n in range(4 if sys.argv[2] == "killed" else 40):
        await asyncio.gather(ask(2 * n), ask(2 * n + 1))
    print("done", flush=True)
    await asyncio.sleep(60 if sys.argv[2] == "killed" else 0)

asyncio.run(main())
"""


def test_three_processes_of_which_one_is_killed_never_overspend(url):
    Ledger(url).close()  # migrated once
    started = [
        subprocess.Popen([sys.executable, "-c", WORKER, url, name], stdout=subprocess.PIPE, text=True, env=os.environ)
        for name in ("killed", "first", "second")
    ]
    killed, *others = started
    lost = 0
    for line in killed.stdout:
        if line == "done\n":
            break
        lost += 1
    killed.send_signal(signal.SIGKILL)
    asked = [other.communicate(timeout=60)[0].count("asked") for other in others]
    killed.communicate()
    ledger = Ledger(url)
    (use,) = Budgets(ledger).used()
    assert lost + sum(asked) == 30
    assert (use.spent, use.held) == (
        Amount(7 * sum(asked), 3 * sum(asked), sum(asked)),
        Amount(10 * lost, 5 * lost, lost),
    )
    Budgets(ledger).charge_lost(now_ms() + 61_000)
    (use,) = Budgets(ledger).used()
    assert (use.spent.requests, use.held) == (30, Amount())
    assert use.spent.tokens == 3 * sum(asked) + 5 * lost
    ledger.close()
