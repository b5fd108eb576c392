"""Whether a call of a tool is the right one, as the Berkeley function-calling leaderboard decides it.

What is expected names, for each argument, the list of accepted values; "" in the list means that the argument may be
left out. Texts are compared without case, spaces, and some punctuation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from inhouse.types import Json

CallOutcome = Literal["right", "wrong tool", "wrong arguments", "no call", "needless call", "rightly none"]
RIGHT: frozenset[CallOutcome] = frozenset({"right", "rightly none"})
_LEFT_OUT = str.maketrans("", "", " ,./-_*^'\"")


def call_outcome(expected: Sequence[Mapping[str, Json]], call: Mapping[str, Json] | None) -> CallOutcome:
    """What became of a request that one call answers, or none.

    Args:
        expected: the right call as {"name", "arguments": {argument: accepted values}}; empty where no tool fits.
        call: the call that was made as {"name", "arguments"}; None for none.
    """
    if not expected:
        return "rightly none" if call is None else "needless call"
    if call is None:
        return "no call"
    if call["name"] not in {e["name"] for e in expected}:
        return "wrong tool"
    fits = any(e["name"] == call["name"] and arguments_fit(e["arguments"], call["arguments"]) for e in expected)
    return "right" if fits else "wrong arguments"


def arguments_fit(accepted: Mapping[str, Sequence[Json]], given: Mapping[str, Json]) -> bool:
    """Whether every argument has an accepted value, and only such are left out that may be."""
    if any(name not in accepted for name in given):
        return False
    return all(_fits(values, given[name]) if name in given else "" in values for name, values in accepted.items())


def _fits(accepted: Sequence[Json], value: Json) -> bool:
    return any(_same(one, value) for one in accepted)


def _same(accepted: Json, value: Json) -> bool:
    match accepted, value:
        case str(), str():
            return plain(accepted) == plain(value)
        case bool(), _:
            return accepted is value
        case _, bool():
            return False
        case ((int() | float()), (int() | float())):
            return float(accepted) == float(value)
        case dict(), dict():  # each field of an object has a list of its own
            return arguments_fit({k: v if isinstance(v, list) else [v] for k, v in accepted.items()}, value)
        case list(), list():
            return len(accepted) == len(value) and all(map(_same, accepted, value))
    return bool(accepted == value)


def plain(text: str) -> str:
    """A text as it is compared: without case, spaces, and the punctuation , . / - _ * ^ and quotes."""
    return text.lower().translate(_LEFT_OUT)
