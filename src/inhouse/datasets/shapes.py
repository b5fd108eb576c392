"""From a row of any known shape to one conversation in OpenAI's format; which shapes there are is `SHAPES`.

A row is what one JSON object or CSV line holds. Tool calls, tool results, weights, tools, and pairs of a preferred and
a rejected reply are kept. Nothing is merged or left out but what a model thought to itself, and rows with pictures,
sound, or files are refused, since a text model would answer without them.

A reason never quotes a message, since it may hold personal data. It names keys and roles if those are plain words.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from inhouse.datasets.transcripts import messages_in
from inhouse.datasets.turns import (
    ROLE_KEYS,
    Calls,
    Message,
    ShapeError,
    content_of,
    decoded,
    keys_in,
    messages_of,
    tools_of,
)  # fmt: skip
from inhouse.privacy.given_names import GIVEN
from inhouse.types import Json

SHAPES = {
    "OpenAI": "messages",
    "ShareGPT": "conversations",
    "Gemini": "contents",
    "Alpaca": "instruction output",
    "prompt and completion": "prompt completion",
    "question and answer": "question answer",
}
SHOWN = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
_LISTS = ("messages", "conversations", "contents", "conversation", "turns", "dialog", "dialogue", "dialogs", "chat",
          "chat_messages", "exchanges", "utterances", "transcript", "thread", "items")  # fmt: skip
_WRAPPERS = ("conversation", "dialog", "dialogue", "data", "chat", "thread", "input", "inputs", "request", "body",
             "record", "item", "sample", "example", "session", "payload", "row", "kwargs")  # fmt: skip
_ASKED = ("instruction", "prompt", "question", "query", "q", "user", "human", "customer", "input", "request", "inputs",
          "frage", "pregunta", "domanda", "pergunta", "vraag", "pytanie", "вопрос", "问题", "質問", "질문")  # fmt: skip
_ANSWERED = ("output", "completion", "response", "answer", "a", "reply", "assistant", "chosen", "target", "outputs",
             "bot", "gpt", "ai", "answers", "antwort", "respuesta", "réponse", "risposta", "resposta", "antwoord",
             "odpowiedź", "ответ", "答案", "回答", "답변")  # fmt: skip
_TEXTS = ("text", "transcript", "dialogue", "dialog", "conversation", "chat", "content")
_ADDED = ("input", "context")
_SYSTEM = ("system", "system_prompt", "system_instruction", "systeminstruction", "systemprompt", "system_message",
           "instructions")  # fmt: skip
_HIDDEN = "is_visually_hidden_from_conversation"  # in ChatGPT's export
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z_0-9.-]{0,29}")
_NESTED = 3  # levels of objects in which messages are looked for


class Conversation(NamedTuple):
    """A row in OpenAI's format.

    Attributes:
        shape: which one the row had, such as "ShareGPT".
        messages: with the roles system, developer, user, assistant, and tool; the `content` is text, or None where
            there is none; `tool_calls`, `tool_call_id`, `weight`, and `name` as far as there are.
        tools: the tools that could be called.
        chosen: the preferred reply of a preference row, which then is not in `messages`.
        rejected: the other reply.
        rest: all other keys of the row, such as `id`, `tags`, and `time`.
    """

    shape: str
    messages: list[Message]
    tools: list[dict[str, Json]]
    chosen: list[Message]
    rejected: list[Message]
    rest: dict[str, Json]

    @property
    def missing(self) -> str:
        """ "no question" or "no reply" if there is none; a tool call is a reply."""
        replies = [*self.messages, *self.chosen]
        if not any(m["role"] == "user" and m.get("content") for m in self.messages):
            return "no question"
        answered = any(m["role"] == "assistant" and (m.get("content") or m.get("tool_calls")) for m in replies)
        return "" if answered else "no reply"


def conversation_of(row: Mapping[str, Json]) -> Conversation:
    """The conversation of a row.

    Raises:
        ShapeError: the row has no known shape, a role that is not known, or a picture.
    """
    row = {str(key).strip(): value for key, value in row.items()}
    if isinstance(row.get("mapping"), dict):
        return _reading(row, "ChatGPT export", _branch(row.pop("mapping"), row.pop("current_node", None)))
    for finding in (_preference, _listed, _pair, _text):
        if found := finding(row):
            last = found.messages[-1] if found.messages else {"role": ""}
            if {"prompt", "completion"} <= row.keys() and last["role"] == "assistant" and not found.chosen:
                last |= {"weight": 0} if wanted(row.get("label")) is False else {}  # KTO: a reply that was not wanted
            return found
    raise ShapeError(unknown(row))


def wanted(label: Json) -> bool | None:
    """What a label says of a reply, which CSV has as text; None if it is no such label, but a class, for example."""
    text = str(label).strip().lower()
    return {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(text)


def unknown(row: Mapping[str, Json]) -> str:
    """What a row of no known shape has, and which shape is nearest."""
    for key in keys_in(row, _LISTS):
        if isinstance(row[key], list):
            return f"`{key}` has no messages" if not row[key] else f"`{key}` has texts without roles; write {SHOWN}"
    keys = [key for key in row if _PLAIN_KEY.fullmatch(key) and key.lower() not in GIVEN]
    found = f"the keys {', '.join(keys[:12])}{', ...' if len(row) > 12 else ''}" if keys else "no readable keys"
    if texts := [key for key in keys_in(row, _TEXTS) if isinstance(row[key], str)]:
        none = f"`{texts[0]}` has no turns such as `User: ...` and `Assistant: ...`, and no chat template"
        return f"no conversation found: it has {found}; {none}"
    near = {}
    for name, wanted in SHAPES.items():
        scores = [max((difflib.SequenceMatcher(None, w, k.lower()).ratio() for k in keys[:50]), default=0)
                  for w in wanted.split()]  # fmt: skip
        near[name] = sum(scores) / len(scores)
    best = max(near, key=lambda name: near[name])
    wanted = " and ".join(f"`{key}`" for key in SHAPES[best].split())
    return f"no conversation found: it has {found}; the nearest shape is {best}, with {wanted}"


def may_have(keys: Collection[str]) -> bool:
    """Whether a row with these keys, in lower case, may be a conversation."""
    names = frozenset(keys)
    pair = not names.isdisjoint(_ASKED) and not names.isdisjoint(_ANSWERED)
    return pair or not names.isdisjoint((*_LISTS, *_TEXTS))


# --- shapes -----------------------------------------------------------------------------------------------------


def _preference(row: dict[str, Json]) -> Conversation | None:
    """A row with a preferred and a rejected reply."""
    for good, bad in (("preferred_output", "non_preferred_output"), ("chosen", "rejected")):
        if good not in row or bad not in row:
            continue
        pair = row.pop(good), row.pop(bad)
        chosen, rejected = (messages_of(p if isinstance(p, list) else _said(p, row)) for p in pair)
        if any(m["role"] == "user" for m in chosen):  # both are whole conversations, as in TRL
            same = next((n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), len(chosen) - 1)
            shared = chosen[:same]
            rest = {k: v for k, v in row.items() if k != "prompt"}
            return Conversation("preference", shared, [], chosen[same:], rejected[same:], rest)
        for finding in (_listed, _pair):
            if found := finding(row):
                return found._replace(chosen=chosen, rejected=rejected)
        asked = _asked(row)
        if asked is None:
            raise ShapeError(f"has {good} and {bad}, but no question")
        return _paired(row, asked, None)._replace(chosen=chosen, rejected=rejected)
    return None


def _said(given: Json, row: Mapping[str, Json]) -> list[Json]:
    """The messages of a reply, or of the whole conversation in one text where the row has nothing else."""
    whole = messages_in(given) if isinstance(given, str) and not row else []
    return whole or [_reply(given)]


def _reply(given: Json) -> Json:
    return {"role": "assistant", "content": given} if isinstance(given, str) or given is None else given


def _listed(row: dict[str, Json], depth: int = 0) -> Conversation | None:
    """A row with a list of messages, at the top or in an object."""
    for key in keys_in(row, _LISTS):
        given = decoded(row[key])
        if isinstance(given, list) and given and isinstance(given[0], dict | list):
            rest = {k: v for k, v in row.items() if k != key}
            return _reading(rest, _shape(key, given), given, last=True)
    for key in keys_in(row, _WRAPPERS) if depth < _NESTED else ():
        given = decoded(row[key])
        rest = {k: v for k, v in row.items() if k != key}
        if isinstance(given, list) and given and isinstance(given[0], dict) and keys_in(given[0], ROLE_KEYS):
            return _reading(rest, _shape(key, given), given, last=True)
        if isinstance(given, dict) and (found := _listed(given, depth + 1)):
            outer = _reading({**rest, **found.rest}, found.shape, found.messages, last=True)
            return outer._replace(tools=found.tools or outer.tools)
    if isinstance(prompt := decoded(row.get("prompt")), list) and prompt and isinstance(prompt[0], dict):
        rest = {k: v for k, v in row.items() if k != "prompt"}
        answer = decoded(rest.pop("completion", []))
        return _reading(rest, "OpenAI", [*prompt, *(answer if isinstance(answer, list) else [_reply(answer)])])
    return None


def _last(rest: dict[str, Json]) -> list[Json]:
    """The reply beside a list of messages, as in logs of requests."""
    for key in ("response", "output", "outputs", "completion"):
        given = rest.get(key)
        found = given.get("body", given) if isinstance(given, dict) else given
        if message := _choice(found):
            rest.pop(key)
            return [message]
        if isinstance(found, dict) and keys_in(found, ROLE_KEYS[:1]):
            return [rest.pop(key)]
        if isinstance(found, str) and found.strip():
            return [_reply(rest.pop(key))]
    message = _choice(rest)
    return [message] if message else []


def _choice(found: Json) -> Json:
    """The message in a response of OpenAI's API."""
    choices = found.get("choices") if isinstance(found, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first.get("message") if isinstance(first, dict) else None


def _shape(key: str, given: Sequence[Json]) -> str:
    if key.lower() == "contents":
        return "Gemini"
    return "ShareGPT" if isinstance(given[0], dict) and "from" in given[0] else "OpenAI"


def _pair(row: dict[str, Json]) -> Conversation | None:
    """A row with a question and an answer, under any of their names."""
    asked = _asked(row)
    answered = next((k for k in keys_in(row, _ANSWERED) if k != asked and _answer(row[k]) is not None), None)
    if asked is None or answered is None:
        return None
    return _paired({k: v for k, v in row.items() if k != answered}, asked, _answer(row[answered]))


def _asked(row: Mapping[str, Json]) -> str | None:
    return next((key for key in keys_in(row, _ASKED) if isinstance(row[key], str)), None)


def _answer(given: Json) -> str | None:
    """The text of an answer, which may be in a list, as in SQuAD."""
    if isinstance(given, dict):
        given = given.get("text") or given.get("content")
    if isinstance(given, list) and given:
        given = given[0]
    return given if isinstance(given, str) else None


def _paired(row: dict[str, Json], asked: str, answer: str | None) -> Conversation:
    used, history = {asked}, decoded(row.get("history"))
    question = [str(row[asked])]
    for key in keys_in(row, _ADDED):
        if key != asked and isinstance(row[key], str):
            used.add(key)
            question.append(row[key])
    messages: list[Json] = []
    if isinstance(history, list):
        used.add("history")
        messages += history
    messages.append({"role": "user", "content": "\n".join(q for q in question if q.strip())})
    messages += [{"role": "assistant", "content": answer}] if answer is not None else []
    shape = "Alpaca" if asked.lower() == "instruction" else f"{asked.lower()} and answer"
    return _reading({k: v for k, v in row.items() if k not in used}, shape, messages)


def _text(row: dict[str, Json]) -> Conversation | None:
    """A row with the whole conversation in one text."""
    for key in keys_in(row, _TEXTS):
        if isinstance(row[key], str) and (messages := messages_in(row[key])):
            return _reading({k: v for k, v in row.items() if k != key}, "text", messages)
    return None


def _branch(nodes: Mapping[str, Json], current: Json) -> list[Json]:
    """The messages of ChatGPT's export up to the current one; regenerated answers are other branches."""
    last = current if isinstance(current, str) and current in nodes else next(reversed(list(nodes)), None)
    messages: list[Json] = []
    while isinstance(node := nodes.get(str(last)), dict) and len(messages) < len(nodes):
        message = node.get("message")
        if isinstance(message, dict):
            about = message.get("metadata")
            messages += [] if isinstance(about, dict) and about.get(_HIDDEN) else [message]
        last = node.get("parent")
    return messages[::-1]


def _reading(rest: dict[str, Json], shape: str, given: Sequence[Json], last: bool = False) -> Conversation:
    """A conversation from its messages and the other keys of its row: system text, tools, maybe the `last` reply."""
    rest = dict(rest)
    messages = messages_of(given)
    if last and messages and messages[-1]["role"] != "assistant":
        messages = messages_of([*given, *_last(rest)])
    for key in keys_in(rest, _SYSTEM):
        content = content_of(rest.pop(key), Calls())[0]
        if content and not any(m["role"] == "system" and m["content"] == content for m in messages):
            messages.insert(0, {"role": "system", "content": content})
    return Conversation(shape, messages, tools_of(rest), [], [], rest)
