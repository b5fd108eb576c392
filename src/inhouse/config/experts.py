"""The keys of inhouse.toml for domain experts: adapters on one base, one of which answers a request."""

from __future__ import annotations

from typing import Any

from inhouse.config.section import Section


class Expert(Section):
    name: str
    """Name of the domain."""
    conversations: tuple[str, ...]
    """Files of past conversations that it learns from. Those of an expert for everybody are listed under
    curation.conversations too; those of an expert with `groups` are not."""
    where: dict[str, Any] = {}
    """Of these files, use only conversations that have these values, such as { domain = "bank" }."""
    documents: tuple[str, ...] = ()
    """Patterns of the documents that it learns and answers from, such as "bank/**"; empty means all."""
    tests: tuple[str, ...] = ()
    """Test questions for an expert with `groups`, asked as by a member of all of them. Without them, a share of its
    conversations is held out. Those of experts for everybody are under curation.tests."""
    groups: tuple[str, ...] = ()
    """Groups whose members it answers; empty means everybody. Nobody else is routed to it, and nothing of it is in
    the model that everybody gets."""
