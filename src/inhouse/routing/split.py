"""Who is answered by which model: a split by user that holds for as long as its weights do.

Each arm draws a number for the user, -weight / ln(hash), and the largest wins (weighted rendezvous hashing,
Schindelhauer and Schomaker 2005): arms get users in proportion to their weights, and new weights move only those users
that they must: a canary that grows keeps everyone it had.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Mapping

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Note


def chosen(experiment: str, unit: str, weights: Mapping[str, float]) -> str:
    """The arm of a unit, the same in every process for the same experiment, unit and weights."""

    def drawn(arm: str) -> float:
        digest = hashlib.sha256("\0".join((experiment, arm, unit)).encode("utf-8", "surrogatepass")).digest()
        share = (int.from_bytes(digest[:8]) + 0.5) / 2**64
        return -weights[arm] / math.log(share)

    return max(sorted(arm for arm, weight in weights.items() if weight > 0), key=drawn)


def unit_of(request: ChatRequest) -> str:
    """Who is held to an arm: the user; without one the conversation, which later turns begin with too."""
    if request.user:
        return f"user {request.user}"
    first = next((n for n, m in enumerate(request.messages) if m.role == "user"), 0)
    return "\0".join(("conversation", *(f"{m.role} {m.content}" for m in request.messages[: first + 1])))


class Split:
    """A ChatModel that is one of several, by user; a note before the answer says which.

    Args:
        name: its own.
        experiment: what the split is for; another experiment deals the users anew.
        arms: each model with its weight, by the arm's name; at least one weight is above 0.
    """

    def __init__(self, name: str, experiment: str, arms: Mapping[str, tuple[ChatModel, float]]) -> None:
        self.name = name
        self._experiment = experiment
        self._models = {arm: model for arm, (model, _) in arms.items()}
        self._weights = {arm: weight for arm, (_, weight) in arms.items()}

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        arm = chosen(self._experiment, unit_of(request), self._weights)
        yield Note(layer="split", kind="arm", data={"experiment": self._experiment, "arm": arm})
        async for event in self._models[arm].stream(request):
            yield event
