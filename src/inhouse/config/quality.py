"""The keys of inhouse.toml for the accuracy of live answers: how many of them people are asked about."""

from __future__ import annotations

from pydantic import Field

from inhouse.config.section import Section


class Quality(Section):
    labels_per_week: int = Field(10, ge=0, le=1000)
    """Answers a week that reviewers are asked to rate, in the console under Quality; 0 asks for none. Uncertain, new,
    and frequent questions are drawn more often; see docs/quality.md."""
    rated_twice: float = Field(0.2, ge=0, le=1)
    """Share of them that a second reviewer rates too, so that it is known how far reviewers agree."""
    weeks: int = Field(12, ge=1, le=104)
    """Weeks shown."""
