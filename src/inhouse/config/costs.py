"""The keys of inhouse.toml for costs: prices of machines, people, and models elsewhere."""

from __future__ import annotations

from pydantic import Field

from inhouse.config.section import Section


class Price(Section):
    """Prices of a model elsewhere: one [[costs.price]] table each."""

    upstream: str
    """Name of the [[upstream]] table."""
    usd_per_million_prompt: float = Field(0, ge=0)
    """US dollars for a million tokens of prompts."""
    usd_per_million_answer: float = Field(0, ge=0)
    """US dollars for a million tokens of answers."""


class Costs(Section):
    machine_usd_per_hour: float = Field(0, ge=0)
    """Price of the machines that serve, whether they answer or wait, in US dollars per hour; 0 takes
    model.usd_per_hour."""
    person_usd_per_hour: float = Field(30, ge=0)
    """Price of an hour of the people who answer the inbox, with everything that they cost. US dollars."""
    minutes_per_handoff: float = Field(6, ge=0)
    """Minutes of a person for a conversation whose reply is not there yet. Answered ones take the time from the
    hand-off to the reply."""
    most_minutes_per_handoff: float = Field(15, gt=0)
    """Longest time that counts for one conversation: the rest of the time until the reply it waited. Minutes."""
    minutes_per_label: float = Field(1, ge=0)
    """Minutes of a person for each review, correction, or rating."""
    customization_usd: float = Field(0, ge=0)
    """What it cost once to build the custom model, besides machines and labels that inhouse knows of. US dollars."""
    custom_usd_per_month: float = Field(0, ge=0)
    """What it costs each month to run and keep the custom model good, besides the machines. US dollars."""
    conversations_per_month: float = Field(0, ge=0)
    """Volume that savings are computed for; 0 takes the traffic of the last 30 days."""
    reopened_days: float = Field(7, gt=0)
    """An answer is not resolved if the same user comes back with the same question within this time. Days."""
    similar: float = Field(0.5, gt=0, le=1)
    """Share of the words that matter that two questions have in common (Jaccard) to be the same question."""
    api_usd_per_million_prompt: float = Field(0.4, ge=0)
    """Price of a hosted model, for the comparison of options: US dollars for a million tokens of prompts."""
    api_usd_per_million_answer: float = Field(1.6, ge=0)
    """US dollars for a million tokens of its answers."""
    tuned_api_price: float = Field(2, gt=0)
    """Price of tokens of a fine-tuned hosted model, as a multiple of the plain one's."""
    price: tuple[Price, ...] = ()
    """Prices of models elsewhere: one [[costs.price]] table each. Without one, an answer costs the time that it takes
    at the price of the machine."""
