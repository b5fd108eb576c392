"""Conversations that are written as text: with the marks of a chat template, or a speaker before each message.

Templates: ChatML, Llama 2 and 3, Mistral, Gemma, Phi, Zephyr, Alpaca, Vicuna. Speakers: "Customer: ...", also in bold,
with a time before, with a name, in any language that `turns.ROLES` knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from inhouse.datasets.turns import ROLES
from inhouse.privacy.given_names import GIVEN
from inhouse.types import Json

_MARK = re.compile(
    r"<\|im_start\|>[ \t]?(?P<chatml>\w+)[ \t]*+\n?|<\|start_header_id\|>(?P<llama>\w+)<\|end_header_id\|>"
    r"|<start_of_turn>(?P<gemma>\w+)|<\|(?P<phi>user|assistant|system|model|human|bot|observation)\|>"
    r"|###[ ]?(?P<alpaca>Human|User|Instruction|Input|Assistant|Response|Output|System|AI|Bot):"
    r"|(?P<llama2>\[/?INST\]|<</?SYS>>)"
)
_ENDS = re.compile(
    r"<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|end\|>|<\|endoftext\|>|<\|end_of_text\|>|</?s>|<\|begin_of_text\|>|<bos>"
)
_OWN = {"instruction": "user", "[INST]": "user", "[/INST]": "assistant", "<<SYS>>": "system", "<</SYS>>": "user"}
_SPEAKER = re.compile(
    r"[ \t>]*+[#*_-]{0,4}+[ \t]?(?:[\[(]?\d[\d:./T, -]{3,22}(?:[AP]M)?Z?[\])]?[ \t]*+(?:[-–—|][ \t]?)?)?\*{0,2}"
    r"(?P<name>[^\W\d_][^\W\d]{0,20}(?: [^\W\d]{1,20})?)(?:[ ]?[(\[](?P<also>[^()\[\]:\n]{1,40})(?::\d\d){0,2}[)\]])?"
    r"[ \t]?\*{0,2}[:：]\*{0,2}"
)
_WEAK = frozenset(
    """question query input output answer response reply completion contact lead member patient student model service
    support expert staff seller admin context instruction instructions environment function observation tool inbound
    outbound incoming outgoing shopper buyer caller prompter q a""".split()  # noqa: SIM905
)
"""Names that may as well label a line of a message, such as "Model: DX-3": speakers only where no other one is."""
_BORDER = re.compile(
    r"[ \t]*+(?:[-=*_~#]{3,}|[#=*-]{0,6}[ ]?(?:conversation|chat|ticket|session|dialogue?|case|call|gespräch|fall"
    r"|conversación|conversazione|conversa|对话|会话|会話)[ ]?(?:no\.?|nr\.?|id)?[ ]?[#:]?[ ]?"
    r"[\w-]{0,20}\d[\w-]{0,20}[ ]?[#=*:-]{0,6})[ \t]*+",
    re.IGNORECASE,
)
AT_BLANKS = "conversations are taken to be separated by blank lines (assumed)"


def messages_in(text: str) -> list[Json]:
    """The messages of a text, with at least one of each side; none if it is no conversation."""
    return _templated(text) or _spoken(text)


def conversations_in(text: str, note: Callable[[str], None]) -> Iterator[tuple[int, list[Json]]]:
    """The conversations of a text with the number of the line at which each begins.

    Between them are rules, headings such as "Chat 7", or blank lines; what stands between two of these and has no
    messages of both sides goes on with the conversation before it.
    """
    if not _spoken(text):
        return
    whole: list[tuple[int, str]] = []
    for line, part in _cut(text, _BORDER.fullmatch):
        if _spoken(part) or not whole:
            whole.append((line, part))
        else:
            whole[-1] = (whole[-1][0], f"{whole[-1][1]}\n\n{part}")
    blocks = _cut(text, lambda line: not line.strip()) if len(whole) == 1 else []
    if len(blocks) > 1 and all(_spoken(block) for _, block in blocks):
        note(AT_BLANKS)
        whole = blocks
    yield from ((line, messages) for line, part in whole if (messages := _spoken(part)))


def _cut(text: str, border: Callable[[str], object]) -> list[tuple[int, str]]:
    """The parts between borders that have text, each with the number of its first line."""
    parts: list[tuple[int, list[str]]] = [(1, [])]
    for number, line in enumerate(text.splitlines(), 1):
        if border(line):
            parts.append((number + 1, []))
        else:
            parts[-1][1].append(line)
    return [(line, "\n".join(lines)) for line, lines in parts if any(x.strip() for x in lines)]


def _templated(text: str) -> list[Json]:
    marks = list(_MARK.finditer(text))
    messages: list[dict[str, Json]] = []
    for n, mark in enumerate(marks):
        name = str(mark[str(mark.lastgroup)])
        role = _OWN.get(name) or (_OWN.get(name.lower(), name.lower()) if mark["alpaca"] else name)
        content = _ENDS.sub("", text[mark.end() : marks[n + 1].start() if n + 1 < len(marks) else len(text)]).strip()
        if content:
            messages.append({"role": role, "content": content})
    return list(messages) if {"user", "assistant"} <= {ROLES.get(str(m["role"]).lower()) for m in messages} else []


def _spoken(text: str) -> list[Json]:
    """Messages that begin with the name of their role; at least one of each side."""
    lines = [(line, _SPEAKER.match(line)) for line in text.splitlines()]
    names = [_name(found["name"]) or _name(found["also"] or "") if found else "" for _, found in lines]
    strong = {_role(name) for name in names if name and name not in _WEAK}
    messages: list[dict[str, str]] = []
    for (line, found), name in zip(lines, names, strict=True):
        if found and name and (name not in _WEAK or _role(name) not in strong):
            messages.append({"role": _role(name), "content": line[found.end() :].strip()})
        elif messages:
            messages[-1]["content"] += f"\n{line}"
    for m in messages:
        m["content"] = m["content"].strip()
    return list(messages) if {"user", "assistant"} <= {ROLES[m["role"]] for m in messages} else []


def _name(given: str) -> str:
    """The name of a role, alone or before a first name, as in "Agent Ben"; empty for anything else."""
    whole = given.casefold().replace(" ", "_")
    first, _, person = given.casefold().partition(" ")
    if whole in ROLES or whole in ("q", "a"):
        return whole
    return first if person in GIVEN and first in ROLES else ""


def _role(name: str) -> str:
    return {"q": "user", "a": "assistant"}.get(name) or ROLES[name]
