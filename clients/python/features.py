"""What every client tries, and how it reports: one line of JSON per feature. Runs in the venv of each client."""

import json
import os
import traceback

URL, KEY = os.environ["INHOUSE_URL"], os.environ["INHOUSE_KEY"]
SLOW_KEY, PER_MINUTE = os.environ["INHOUSE_SLOW_KEY"], int(os.environ["INHOUSE_PER_MINUTE"])  # a low rate limit
MODEL = "custom"
ASK = "How much is an outgoing domestic wire?"
PRICE = 21.5
TOOL_ASK = "What is the balance of account 4711?"


def right(text):
    """The answer has the price."""
    assert "21.50" in (text or ""), f"the price is missing: {text!r}"


def streamed(pieces):
    """An answer in pieces that has the price."""
    pieces = [p for p in pieces if p]
    right("".join(pieces))


def fee(value):
    """The structured answer about the wire."""
    got = value if isinstance(value, dict) else value.model_dump()
    assert "wire" in str(got["service"]).lower(), f"not the service: {got}"
    assert float(got["usd"]) == PRICE, f"not the price: {got}"


def called(name, arguments):
    """The call of the tool about the account."""
    got = json.loads(arguments) if isinstance(arguments, str) else arguments
    assert name == "get_balance", f"not the tool: {name}"
    assert "4711" in str(got.get("account")), f"not the account: {got}"


def refused(work, error, said):
    """The work fails with this error, which names what is refused."""
    raised = None
    try:
        work()
    except error as problem:
        raised = problem
    assert said in str(raised), f"{said} is not refused by name: {raised}"


def vectors(*rows):
    """Unit vectors, all of one size."""
    assert len({len(row) for row in rows}) == 1
    assert all(abs(sum(x * x for x in row) - 1) < 1e-3 for row in rows)


def run(features):
    """Tries each feature and prints what came of it."""
    for name, work in features.items():
        try:
            work()
            problem = ""
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"[:400]
            if os.environ.get("INHOUSE_TRACE"):
                traceback.print_exc()
        print(json.dumps({"feature": name, "ok": not problem, "problem": problem}), flush=True)
