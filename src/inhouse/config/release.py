"""The keys of inhouse.toml for releases: the gate, and when a canary is taken back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from inhouse.config.section import Section

Guard = Literal["errors", "handoffs", "refusals", "latency", "confidence", "groundedness", "thumbs"]


class Release(Section):
    name: str = ""
    """Name of the releases, such as support-bot; empty derives it from the project's name."""
    arm: Literal[
        "", "prompt", "rag", "tuned", "tuned+rag", "tuned+feedback", "tuned+feedback+rag", "cpt", "cpt+rag",
        "cpt+tuned", "cpt+tuned+rag", "experts", "experts+rag", "cascade",
    ] = ""  # fmt: skip
    """Arm to release; empty means the one that the verdict recommends."""
    max_wrong: float = Field(0.1, ge=0, le=1)
    """Release gate: maximum share of test questions with a wrong answer. A hand-off does not count as wrong."""
    no_worse: tuple[
        Literal["accuracy", "wrong", "answered", "needless", "facts", "format", "exact", "rouge_l", "similarity",
                "unsupported", "hallucinated", "tone", "judged"], ...,
    ] = ("unsupported",)  # fmt: skip
    """Release gate: metrics that may not be worse than base. A metric is worse if the whole interval of its difference
    is on the worse side. A metric that was not measured fails."""
    rollback: bool = True
    """A running server takes a canary back by itself once it is certain (99%) that it is worse than production, see
    docs/rollback.md."""
    rollback_on: dict[Guard, Annotated[float, Field(ge=0, le=1)]] = {}
    """Worst tolerated difference of a canary from production, such as { errors = 0.05, handoffs = 0.1 }. Shares:
    errors, handoffs, refusals (by a guardrail), latency (answers slower than 95% of production's), thumbs (down).
    Means: confidence (the estimated accuracy), groundedness. Only metrics that are listed count, and one that the
    canary does not have counts as worse; empty means all that production has, with defaults."""
    rollback_missing: int = Field(50, ge=0)
    """A metric is missing if so many answers of the canary in a row do not have it, and not by chance; 0 never."""
