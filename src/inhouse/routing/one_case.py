"""Whether a question or a reply is about one person's case, or about one moment: then the reply suits nobody else.

Words alone are looked at, in English: something done for this person ("I have refunded you", "your order was sent"),
a state of theirs ("Where is my order?", "Am I approved?"), a day that moves ("today", "next week"), and the marks that
anonymizing leaves. Numbers, names, and addresses of persons are found elsewhere (`privacy`).
"""

from __future__ import annotations

import re

_THINGS = (
    "account|application|appointment|balance|bill|booking|card|case|cheque|check|claim|complaint|contract|deposit"
    "|delivery|document|documents|email|file|flight|insurance|invoice|loan|membership|message|money|mortgage|order"
    "|package|parcel|payment|plan|policy|purchase|refund|request|reservation|return|shipment|statement|subscription"
    "|ticket|transaction|transfer"
)
_PLACEHOLDER = re.compile(r"<[A-Z_]{3,30}(?:_\d{1,4})?>")
_MOMENT = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|currently|right now|at the moment|just now|so far|(?:this|next|last)"
    r" (?:week|weekend|month|year|morning|afternoon|evening"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday))\b"
)
_DONE = re.compile(
    r"\b(?:i|we)(?:'ve| have|'ll| will)? (?:just |now |already )?(?:blocked|canceled|cancelled|changed|checked|closed"
    r"|corrected|credited|escalated|forwarded|found|issued|looked|opened|ordered|processed|received|refunded|registered"
    r"|removed|reset|sent|transferred|unlocked|updated|verified)\b"
)
_YOURS = re.compile(
    rf"\byour (?:new |last |recent )?(?:{_THINGS})s? (?:is now|was|were|has|have|had|will arrive|arrives)\b"
)
_MINE = re.compile(
    r"\b(?:(?:where|when|why|how|what)(?: much| long)? (?:is|are|was|were|has|have|did|will|would|does)"
    rf"|is|are|was|were|has|have|did|does|what's|where's|when's) (?:my|our) (?:new |last |recent )?(?:{_THINGS})\b"
    r"|\b(?:am i|was i|have i|did i|did you|have you|has anyone|did anyone|why (?:did|have|has|was|were|am)"
    r"|status of my|status of our)\b"
)


def about_one_case(question: str, answer: str) -> str:
    """Why the answer suits only the person who asked, at that time; "" if it may suit others."""
    asked, said = (" ".join(text.replace("\u2019", "'").split()) for text in (question, answer))
    for text in (asked, said):
        if _PLACEHOLDER.search(text):
            return "holds a placeholder of personal data"
        if found := _MOMENT.search(text.casefold()):
            return f"is about a moment ({found[0]})"
    if found := _MINE.search(asked.casefold()):
        return f"asks about one person's case ({found[0]})"
    if found := _DONE.search(said.casefold()) or _YOURS.search(said.casefold()):
        return f"answers one person's case ({found[0]})"
    return ""
