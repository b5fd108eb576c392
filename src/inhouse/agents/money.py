"""Whether a tool moves money, by what it says of itself."""

from __future__ import annotations

import re

from inhouse.tools import Tool

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MONEY = """
amount amounts bill billing charge charges cost costs credit debit deposit dollar dollars donate donation eur euro euros
fee fees gbp invoice loan money pay paid payee payment payments payout payroll price prices purchase refund refunds
reimburse reimbursement remit salary transfer transfers usd wire withdraw withdrawal
"""
_CONVERSATION = "agent call calls caller chat colleague conversation desk line person phone ticket"


def moves_money(tool: Tool) -> bool:
    """Whether its name, description, or parameters speak of money; a transfer of a call or chat is none."""
    properties = tool.parameters.get("properties", {})
    texts = [tool.name, tool.description, *properties]
    texts += [str(p.get("description", "")) for p in properties.values() if isinstance(p, dict)]
    words = {word.lower() for text in texts for word in _WORD.findall(text)}
    about = words & set(_MONEY.split())
    return bool(about - {"transfer", "transfers"} if words & set(_CONVERSATION.split()) else about)
