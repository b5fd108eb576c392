"""The keys of inhouse.toml for budgets: how much keys, people, teams, and the project may use in a day or a month."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from inhouse.config.section import Section

Per = Literal["project", "team", "key", "user"]
Period = Literal["day", "month"]


class Budget(Section):
    """How much may be used in a day or a month, see docs/costs.md: one [[budget]] table each."""

    per: Per = "project"
    """Whose budget it is: of the whole project, or of each team (access group of the API key), key, or user."""
    of: str = ""
    """Name of one team or user, or name or ID of one key; empty gives each of them a budget of this size. A table with
    a name takes the place of the one without for the same `per` and `period`."""
    period: Period = "month"
    """A calendar day or month, in UTC."""
    usd: float = Field(0, ge=0, le=1e9)
    """US dollars in that time; 0 sets no limit."""
    tokens: int = Field(0, ge=0, le=10**15)
    """Tokens of prompts and answers in that time; 0 sets no limit."""
    requests: int = Field(0, ge=0, le=10**12)
    """Requests that reached a model in that time; 0 sets no limit."""
    alert_at: float = Field(0.8, gt=0, le=1)
    """Share of the budget at which an alert is sent, once in each period."""

    @model_validator(mode="after")
    def _complete(self) -> Budget:
        if not (self.usd or self.tokens or self.requests):
            raise ValueError("a budget needs usd, tokens, or requests")
        if self.of and self.per == "project":
            raise ValueError("there is one project: leave `of` empty")
        return self
