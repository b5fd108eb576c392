"""From a message of any known shape to messages in OpenAI's format: roles, content in parts, tool calls and results.

Shapes: OpenAI's old and new, Anthropic's, Gemini's, Bedrock's, ShareGPT's, Hermes', and LangChain's.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from inhouse.privacy.given_names import GIVEN
from inhouse.types import Json

ROLES: dict[str, str] = {
    name: role
    for role, names in {
        "user": """user human customer client visitor end_user enduser requester caller guest prompter consumer buyer
            shopper contact lead member patient student question query input inbound incoming kunde kundin nutzer
            benutzer anfrage usuario cliente utilisateur utente gebruiker klant klient użytkownik müşteri клиент
            пользователь عميل 用户 客户 顾客 ユーザー お客様 顧客 고객 사용자""",
        "assistant": """assistant ai gpt chatgpt bot chatbot chat_bot robot model agent support support_agent operator
            staff employee advisor adviser representative rep csr customer_service customer_support helpdesk service
            seller expert admin llm claude gemini bard bing answer response output completion reply outbound outgoing
            assistent mitarbeiter mitarbeiterin berater beraterin agente asistente conseiller conseillère assistente
            operatore medewerker konsultant asystent temsilci оператор ассистент агент موظف 客服 助手 助理 坐席
            アシスタント 担当者 オペレーター 상담원 상담사 어시스턴트""",
        "system": "system instruction instructions context system_prompt",
        "developer": "developer",
        "tool": """tool function observation function_response function_result function_output tool_response
            tool_result tool_output function_call_output ipython environment""",
        "call": "function_call tool_call tool_calls function_calls",
    }.items()
    for name in names.split()
}
"""Names of roles, in lower case with underscores. "call" is a message of the assistant that only calls tools."""
ROLE_KEYS = ("role", "from", "sender", "author", "speaker", "participant", "sender_type", "author_type", "user_type",
              "actor", "type")  # fmt: skip
_CONTENT_KEYS = ("content", "value", "text", "parts", "message", "body", "utterance", "refusal")
_MEDIA = ("image", "audio", "video", "file", "document", "inlinedata", "inline_data", "picture", "media")
Message = dict[str, Json]


class ShapeError(Exception):
    """Why a row is not a conversation. `kind` is "image" for a row with a picture or another medium, else ""."""

    def __init__(self, reason: str, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


def role_of(name: Json) -> str:
    """The role, in OpenAI's words or "call".

    Raises:
        ShapeError: the name is not known.
    """
    if not isinstance(name, str):
        raise ShapeError("a message has no role")
    given = name.strip().casefold().replace("-", "_").replace(" ", "_")
    if given not in ROLES:
        plain = re.fullmatch(r"[a-z_]{1,24}", given) and not GIVEN & set(given.split("_"))
        shown = f' "{given}"' if plain else ""
        near = difflib.get_close_matches(given, ROLES, 1) if shown else []
        hint = f'did you mean "{near[0]}"?' if near else "known are user, assistant, system, tool, and common names"
        raise ShapeError(f"a message has the unknown role{shown} ({hint})")
    return ROLES[given]


# --- messages ---------------------------------------------------------------------------------------------------


class Calls:
    """Gives tool calls their ids, and results the ids of the calls that they answer."""

    def __init__(self) -> None:
        self._made = 0
        self._open: list[tuple[str, str]] = []  # id and name

    def call(self, name: Json, arguments: Json, id_: Json = None) -> dict[str, Json]:
        call_id = str(id_) if id_ else f"call_{self._made}"
        self._made += 1
        self._open.append((call_id, str(name or "")))
        given = {} if arguments is None else arguments
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        return {"id": call_id, "type": "function", "function": {"name": str(name or ""), "arguments": text}}

    def result(self, content: str, id_: Json = None, name: Json = None) -> Message:
        found = next((c for c in self._open if c[0] == str(id_) or (not id_ and name and c[1] == name)), None)
        found = found or (self._open[0] if self._open and not id_ else None)
        if found:
            self._open.remove(found)
        return {"role": "tool", "tool_call_id": str(id_ or (found[0] if found else "")), "content": content}


def messages_of(given: Sequence[Json]) -> list[Message]:
    """The messages in OpenAI's format.

    Raises:
        ShapeError: a message has no known role, or content that is not text.
    """
    calls = Calls()
    messages: list[Message] = []
    for turn in given:
        if isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(t, str | None) for t in turn):
            turns: list[Json] = [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
        elif isinstance(turn, dict):
            turns = _split(turn)
        else:
            raise ShapeError("has a message that is not an object with a role and content")
        for one in turns:
            messages += _message(one, calls)
    return messages


def _split(turn: dict[str, Json]) -> list[Json]:
    """A turn that holds both sides under their names as two messages; any other unchanged."""
    if any(isinstance(turn.get(k), str | dict) for k in keys_in(turn, ROLE_KEYS)):
        return [turn]
    sides = [k for k in turn if k.casefold() in ROLES and isinstance(turn[k], str)]
    return [{"role": k, "content": turn[k]} for k in sides] or [turn]


def _message(turn: dict[str, Json], calls: Calls) -> list[Message]:
    """One message in OpenAI's format, or several, where it holds results of tools as well."""
    if isinstance(data := turn.get("data"), dict) and not keys_in(turn, ("content", "value")):
        turn = {**data, **{k: v for k, v in turn.items() if k != "data"}}  # LangChain: {"type": "human", "data": {...}}
    if turn.get("type") == "reasoning" or turn.get("channel") == "analysis":  # the latter of OpenAI's open models
        return []
    name = next((turn[k] for k in keys_in(turn, ROLE_KEYS) if isinstance(turn[k], str | dict)), None)
    name = name.get("role", name.get("type")) if isinstance(name, dict) else name
    role = "user" if name is None and "parts" in turn else role_of(name)
    keys = keys_in(turn, _CONTENT_KEYS)
    if turn.get("type") == "function_call_output":  # OpenAI's Responses
        keys = ["output"]
    value = next((turn[k] for k in keys if turn.get(k) is not None), None)
    if role == "call":
        content, made = None, [calls.call(n, a, turn.get("call_id")) for n, a in _called(turn, value)]
        return [{"role": "assistant", "content": content, "tool_calls": made}]
    if role == "tool":
        content = _tool_text(value, calls)
        results = content if isinstance(content, list) else [
            calls.result(content, turn.get("tool_call_id") or turn.get("call_id"), turn.get("name"))
        ]  # fmt: skip
        return [_named(m, turn) if "tool_call_id" in turn else m for m in results]
    text, made, results = content_of(value, calls)
    if role == "assistant":
        made += _given_calls(turn, calls)
        text, hermes = _hermes(text, calls)
        made += hermes
    message: Message = {"role": role}
    if not (results and not text and not made):
        if keys or not made:
            message["content"] = text
        if made:
            message["tool_calls"] = made
        return [*results, _named(message, turn)]
    return results


def _named(message: Message, turn: Mapping[str, Json]) -> Message:
    """The message with its name and weight."""
    kept = {k: turn[k] for k in ("name", "weight") if turn.get(k) is not None}
    if turn.get("train", turn.get("training")) is False:  # Axolotl
        kept["weight"] = 0
    return {**message, **kept}


def _given_calls(turn: Mapping[str, Json], calls: Calls) -> list[dict[str, Json]]:
    """The tool calls beside an assistant's content, in OpenAI's shapes old and new, or bare."""
    made = []
    listed = decoded(turn.get("tool_calls"))
    for call in listed if isinstance(listed, list) else ():
        if isinstance(call, dict):
            function = call["function"] if isinstance(call.get("function"), dict) else call
            given = function.get("arguments", function.get("args", function.get("parameters")))
            made.append(calls.call(function.get("name"), given, call.get("id")))
    if isinstance(turn.get("function_call"), dict):
        made.append(calls.call(turn["function_call"].get("name"), turn["function_call"].get("arguments")))
    if not made and isinstance(turn.get("tool"), str) and "arguments" in turn:
        made.append(calls.call(turn["tool"], turn["arguments"]))
    return made


def _called(turn: Mapping[str, Json], value: Json) -> Iterator[tuple[Json, Json]]:
    """Name and arguments of each call in a message that is nothing else; ShareGPT has them as JSON text."""
    given = decoded(value) if value is not None else dict(turn)
    for call in given if isinstance(given, list) else [given]:
        if isinstance(call, dict):
            yield call.get("name"), call.get("arguments", call.get("parameters", call.get("args")))
        else:
            yield turn.get("name"), call


def _hermes(text: str | None, calls: Calls) -> tuple[str | None, list[dict[str, Json]]]:
    """The text without calls in `<tool_call>`, and these."""
    if not text or "<tool_call>" not in text:
        return text, []
    first, *others = text.split("<tool_call>")
    made = []
    for part in others:
        inside, _, after = part.partition("</tool_call>")
        given = decoded(inside.strip())
        if isinstance(given, dict):
            made.append(calls.call(given.get("name"), given.get("arguments")))
        first += after
    return first.strip() or None, made


def _tool_text(value: Json, calls: Calls) -> str | list[Message]:
    """The text of a tool's result; results in parts that say which call they answer are messages by themselves."""
    if isinstance(value, list) and value and all(isinstance(p, dict) for p in value):
        text, _, results = content_of(value, calls)
        return results or text or ""
    if isinstance(value, str):
        parts = [p.partition("</tool_response>")[0].strip() for p in value.split("<tool_response>")[1:]]
        return [calls.result(p) for p in parts] if len(parts) > 1 else (parts or [value])[0]
    return "" if value is None else json.dumps(value, ensure_ascii=False)


# --- content ----------------------------------------------------------------------------------------------------


def content_of(value: Json, calls: Calls) -> tuple[str | None, list[dict[str, Json]], list[Message]]:
    """The text of a message's content, the calls in it, and the results of tools in it."""
    if value is None or isinstance(value, str):
        return value, [], []
    if isinstance(value, dict):
        value = value.get("parts", [value])
    if not isinstance(value, list):
        raise ShapeError("the content of a message is not text")
    texts: list[str] = []
    made: list[dict[str, Json]] = []
    results: list[Message] = []
    for part in value:
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, dict):
            raise ShapeError("the content of a message is not text")
        elif part.get("thought") is True or "thinking" in str(part.get("type")) or part.get("type") == "reasoning":
            continue
        elif call := _call_of(part):
            made.append(calls.call(*call))
        elif (result := _result_of(part)) is not None:
            results.append(calls.result(*result))
        else:
            texts.append(_part_text(part))
    return ("\n".join(texts) if texts else None), made, results


def _part_text(part: Mapping[str, Json]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    if isinstance(part.get("refusal"), str):
        return str(part["refusal"])
    kinds = [str(part.get("type", "")), str(part.get("content_type", "")), *part]
    if any(medium in kind.lower() for kind in kinds for medium in _MEDIA):
        raise ShapeError("has a picture, sound, or file in a message, which a text model cannot read", "image")
    if "json" in part:
        return json.dumps(part["json"], ensure_ascii=False)
    raise ShapeError("the content of a message has a part that is not text")


def _call_of(part: Mapping[str, Json]) -> tuple[Json, Json, Json] | None:
    """Name, arguments, and id of a tool call: Anthropic's, Gemini's, or Bedrock's."""
    if part.get("type") == "tool_use":
        return part.get("name"), part.get("input"), part.get("id")
    call = part.get("functionCall", part.get("function_call"))
    if isinstance(call, dict):
        return call.get("name"), call.get("args"), call.get("id")
    use = part.get("toolUse")
    return (use.get("name"), use.get("input"), use.get("toolUseId")) if isinstance(use, dict) else None


def _result_of(part: Mapping[str, Json]) -> tuple[str, Json, Json] | None:
    """Text, id, and name of a tool's result."""
    if part.get("type") == "tool_result":
        return _result_text(part.get("content")), part.get("tool_use_id"), None
    result = part.get("functionResponse", part.get("function_response"))
    if isinstance(result, dict):
        return _result_text(result.get("response")), result.get("id"), result.get("name")
    result = part.get("toolResult")
    return (_result_text(result.get("content")), result.get("toolUseId"), None) if isinstance(result, dict) else None


def _result_text(value: Json) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(p, dict) for p in value):
        return "\n".join(_part_text(p) for p in value)
    return json.dumps(value, ensure_ascii=False)


# --- tools ------------------------------------------------------------------------------------------------------


def tools_of(rest: dict[str, Json]) -> list[dict[str, Json]]:
    """The row's tools in OpenAI's format, taken out of `rest`; what is none stays."""
    for key in ("tools", "functions", "toolConfig", "tool_config"):
        given = decoded(rest.get(key))
        given = given.get("tools", [given]) if isinstance(given, dict) else given
        if isinstance(given, list) and all(isinstance(t, dict) for t in given):
            rest.pop(key)
            if given:
                return [tool for entry in given for tool in _tool(entry)]
    return []


def _tool(entry: dict[str, Json]) -> list[dict[str, Json]]:
    if isinstance(entry.get("function"), dict):
        return [entry]
    declared = entry.get("functionDeclarations", entry.get("function_declarations"))
    if isinstance(declared, list):
        return [_function(d, _lowered) for d in declared if isinstance(d, dict)]
    return [_function(entry.get("toolSpec", entry), lambda schema: schema)]


def _function(given: Mapping[str, Json], schema_of: Callable[[Json], Json]) -> dict[str, Json]:
    """A function in OpenAI's format from one whose schema has another name."""
    schema = next((given[k] for k in ("parameters", "input_schema", "inputSchema") if k in given), None)
    schema = schema.get("json", schema) if isinstance(schema, dict) else schema
    kept = {k: given[k] for k in ("name", "description") if k in given}
    return {"type": "function", "function": {**kept, **({} if schema is None else {"parameters": schema_of(schema)})}}


def _lowered(schema: Json) -> Json:
    """Gemini's schema with the types of JSON schema, which are in lower case."""
    if isinstance(schema, list):
        return [_lowered(s) for s in schema]
    if isinstance(schema, dict):
        return {k: v.lower() if k == "type" and isinstance(v, str) else _lowered(v) for k, v in schema.items()}
    return schema


# --- keys -------------------------------------------------------------------------------------------------------


def keys_in(row: Mapping[str, Json], wanted: Sequence[str]) -> list[str]:
    """The keys of the row that are wanted, in any case, in the order of `wanted`."""
    if found := [name for name in wanted if name in row]:
        return found
    by_name = {str(key).casefold(): key for key in row}
    return [by_name[name] for name in wanted if name in by_name]


def decoded(value: Json) -> Json:
    """JSON that is in a text, as in a column of a table; anything else unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
