"""The keys of inhouse.toml for models elsewhere: what may leave this machine, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inhouse.config.section import Section

Policy = Literal["local-only", "surrogates", "clear"]


class Private(Section):
    """What may be sent to one [[upstream]]: one [[private]] table each. An upstream without a table gets requests as
    they are, and nothing is recorded of it beyond the exchange, except for a rung of a cascade."""

    upstream: str
    """Name of the [[upstream]] table; or "hosted", the service that keeps the custom model (training.hosted.endpoint),
    of which everything is recorded even without a table."""
    default: Policy = "local-only"
    """Policy for users in none of the `groups`. local-only: a model here answers. surrogates: personal data is replaced
    by other plausible values, and put back in the answer. clear: the request is sent as it is, without what must never
    leave."""
    groups: dict[str, Policy] = {}
    """Policy by access group, such as { support = "surrogates" }. For a user in several, the strictest holds."""
    never: tuple[str, ...] = ()
    """Kinds of personal data that are cut out instead of replaced, such as PERSON or ADDRESS. Card numbers, IBANs,
    account and identity numbers, PINs, and secrets always are."""
    local: str = "custom"
    """Model that answers where nothing may leave, or the upstream fails before its first byte: custom, base, or
    empty for none. In a cascade the next rung is asked, and in place of the last one the project's own model. Where a
    service keeps the custom model, set base."""
    timeout_s: float = Field(20, gt=0)
    """Longest wait for the upstream's first byte. Seconds."""
