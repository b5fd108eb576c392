"""The keys of inhouse.toml for cascades: small models first, larger ones and people where those are not sure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inhouse.config.section import Section

Score = Literal["confidence", "retrieval", "groundedness", "certainty", "agreement"]


class Rung(Section):
    """One rung of a cascade, from the cheapest to the most expensive: one [[cascade.rung]] table each."""

    name: str = ""
    """Name of the rung in reports and notes; empty derives it from the next keys."""
    arm: Literal["rag", "tuned", "tuned+rag", "inbox"] = "rag"
    """How the rung answers: as that arm of the verdict, or by a person ("inbox", the last rung). Approved replies
    answer before the first rung, see [reuse]."""
    model: str = ""
    """Model in place of the project's: a name from `inhouse models list`, a folder, or a .gguf file; empty for the
    project's own, which "tuned" and "tuned+rag" need."""
    upstream: str = ""
    """Model of an [[upstream]] table in place of the project's."""
    usd: float = Field(0, ge=0)
    """Price of one answer, in US dollars; 0 measures the time on this machine, at model.usd_per_hour."""

    @property
    def label(self) -> str:
        return self.name or " ".join(filter(None, (self.upstream or self.model.rsplit("/", 1)[-1], self.arm)))


class Cascade(Section):
    score: Score = "confidence"
    """What decides whether a rung's answer is given: the calibrated confidence, which looks at everything below, or
    retrieval, groundedness, certainty (the model's own probabilities), or agreement with a second answer (see
    guardrails.second_sample_tokens) alone."""
    max_wrong: float = Field(0.05, gt=0, lt=1)
    """Certified: at most this share of the answers is wrong. What a person answers does not count."""
    max_loss: float = Field(0.03, gt=0, lt=1)
    """Certified: the cascade gives at most this share fewer good answers than its most expensive model alone."""
    delta: float = Field(0.05, gt=0, lt=0.5)
    """Probability that a certificate is wrong: 0.05 certifies with 95% confidence."""
    held_out: float = Field(0.5, gt=0, lt=1)
    """Share of the test questions that only the certificate is measured on; the verdict asks the others."""
    max_questions: int = Field(0, ge=0)
    """Maximum number of questions to choose thresholds with, and of questions for the certificate: a random sample of
    each. Every rung is asked every question, so this bounds the time and the price of a fit. 0 uses all."""
    skip: bool = True
    """Leave out a rung that is unlikely to answer a question, as similar questions show."""
    rung: tuple[Rung, ...] = ()
    """The rungs, from the cheapest to the most expensive."""
