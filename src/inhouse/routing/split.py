"""An A/B split of users between models, stable as long as the weights stay the same.

Each arm draws a number for the user, -weight / ln(hash), and the largest wins (weighted rendezvous hashing,
Schindelhauer and Schomaker 2005). Arms get users in proportion to their weights, and new weights reassign as few users
as possible: a growing canary keeps all users it has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Mapping

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Note, streaming


def chosen(experiment: str, unit: str, weights: Mapping[str, float]) -> str:
    """The arm of a unit: the same in every process for the same experiment, unit and weights."""

    def drawn(arm: str) -> float:
        digest = hashlib.sha256("\0".join((experiment, arm, unit)).encode("utf-8", "surrogatepass")).digest()
        share = (int.from_bytes(digest[:8]) + 0.5) / 2**64
        return -weights[arm] / math.log(share)

    return max(sorted(arm for arm, weight in weights.items() if weight > 0), key=drawn)


def unit_of(request: ChatRequest) -> str:
    """What is assigned to an arm: the user, or else the beginning of the conversation, which later turns share."""
    if request.user:
        return f"user {request.user}"
    first = next((n for n, m in enumerate(request.messages) if m.role == "user"), 0)
    return "\0".join(("conversation", *(f"{m.role} {m.content}" for m in request.messages[: first + 1])))


class Split:
    """A ChatModel that answers each user with one of several models; a note before the answer says which.

    Args:
        name: of this model.
        experiment: the name of the experiment; another name reassigns users.
        arms: by arm, its model and its weight; at least one weight is above 0.
    """

    def __init__(self, name: str, experiment: str, arms: Mapping[str, tuple[ChatModel, float]]) -> None:
        self.name = name
        self._experiment = experiment
        self._models = {arm: model for arm, (model, _) in arms.items()}
        self._weights = {arm: weight for arm, (_, weight) in arms.items()}

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        arm = chosen(self._experiment, unit_of(request), self._weights)
        yield Note(layer="split", kind="arm", data={"experiment": self._experiment, "arm": arm})
        async with streaming(self._models[arm], request) as events:
            async for event in events:
                yield event
