"""Answers in the formats of the Responses API, as items and typed events, and of the older Completions API."""

from __future__ import annotations

import time

from inhouse.chat import Delta, Finish, Usage
from inhouse.gateway.wire import DONE, Answered, event, joined_calls, usage_body
from inhouse.types import Json

STATUS = {"length": "max_output_tokens", "content_filter": "content_filter"}  # reasons of incomplete responses
FAILURES = ("rate_limit_exceeded", "invalid_prompt")


class ResponsesEnvelope:
    """An answer as a response, or as its events.

    Args:
        id: of the response; its items have the same ID with another beginning.
        model: as requested.
        asked: the parameters of the request.
        user: of the request, as it was given.
    """

    def __init__(self, id: str, model: str, asked: dict[str, Json], user: str | None) -> None:
        self._id, self._model, self._asked, self._user = id, model, asked, user
        self.created = int(time.time())
        self._hex = id.partition("_")[2]
        self._events = 0
        self._output: list[dict[str, Json]] = []
        self._message: dict[str, Json] | None = None  # that is being said
        self._calls: dict[int, dict[str, Json]] = {}
        self._ours: Json = None

    def plain(self, answer: Answered) -> Json:
        tokens = tuple(token for d in answer.deltas for token in d.logprobs)
        calls = joined_calls(answer.deltas)
        if answer.text or not calls:
            self._say(Delta(text=answer.text, logprobs=tokens, refusal=any(d.refusal for d in answer.deltas)))
        if calls:
            self.delta(Delta(text="", tool_calls=tuple({**call, "index": n} for n, call in enumerate(calls))))
        return self._ended(answer)[1]

    def begin(self, answer: Answered) -> str:
        self._ours = answer.ours()
        body = self._response("in_progress", None)
        return self._event("response.created", response=body) + self._event("response.in_progress", response=body)

    def delta(self, delta: Delta) -> str:
        said = self._say(delta) if delta.text or not delta.tool_calls else ""
        return said + "".join(self._call(piece) for piece in delta.tool_calls)

    def end(self, answer: Answered) -> str:
        empty = "" if self._output else self._say(Delta(text=""))
        events, body = self._ended(answer)
        return empty + events + self._event(f"response.{body['status']}", response=body)

    def failed(self, error: dict[str, Json]) -> str:
        given = error["error"]
        code = given.get("code") if given.get("code") in FAILURES else "server_error"
        body = self._response("failed", None) | {"error": {"code": code, "message": given["message"]}}
        return self._event("response.failed", response=body)

    # --- items ----------------------------------------------------------------------------------------------------

    def _say(self, delta: Delta) -> str:
        """Adds text to the message and its part; a refusal is another part than an answer."""
        events = ""
        if self._message is None:
            number = sum(item["type"] == "message" for item in self._output)
            id = f"msg_{self._hex}" + (f"_{number}" if number else "")
            self._message = {
                "id": id,
                "type": "message",
                "status": "in_progress",
                "role": "assistant",
                "content": [],
            }
            events += self._added(self._message)
        parts, kind = self._message["content"], "refusal" if delta.refusal else "output_text"
        if not parts or parts[-1]["type"] != kind:
            events += self._part_done()
            text = {"refusal": ""} if delta.refusal else {"text": "", "annotations": [], "logprobs": []}
            parts.append({"type": kind, **text})
            events += self._event("response.content_part.added", **self._where(), part=parts[-1])
        parts[-1]["refusal" if delta.refusal else "text"] += delta.text
        if delta.refusal:
            return events + self._event("response.refusal.delta", **self._where(), delta=delta.text)
        tokens = list(delta.logprobs)
        parts[-1]["logprobs"] += tokens
        return events + self._event("response.output_text.delta", **self._where(), delta=delta.text, logprobs=tokens)

    def _where(self) -> dict[str, Json]:
        assert self._message is not None
        return {"item_id": self._message["id"], "output_index": self._output.index(self._message),
                "content_index": len(self._message["content"]) - 1}  # fmt: skip

    def _part_done(self) -> str:
        if self._message is None or not self._message["content"]:
            return ""
        part, where = self._message["content"][-1], self._where()
        if part["type"] == "refusal":
            said = self._event("response.refusal.done", **where, refusal=part["refusal"])
        else:
            said = self._event("response.output_text.done", **where, text=part["text"], logprobs=part["logprobs"])
        return said + self._event("response.content_part.done", **where, part=part)

    def _call(self, piece: dict[str, Json]) -> str:
        """Adds a piece to a call of a function; the message before it is complete."""
        index, given, events = piece.get("index", 0), piece.get("function") or {}, ""
        if index not in self._calls:
            events += self._message_done("completed")
            call = {"id": f"fc_{self._hex}_{index}", "type": "function_call", "status": "in_progress",
                    "call_id": piece.get("id") or "", "name": given.get("name") or "", "arguments": ""}  # fmt: skip
            self._calls[index] = call
            events += self._added(call)
        call, text = self._calls[index], given.get("arguments") or ""
        call["arguments"] += text
        where = {"item_id": call["id"], "output_index": self._output.index(call)}
        return events + (self._event("response.function_call_arguments.delta", **where, delta=text) if text else "")

    def _added(self, item: dict[str, Json]) -> str:
        self._output.append(item)
        return self._event("response.output_item.added", output_index=len(self._output) - 1, item=item)

    def _message_done(self, status: str) -> str:
        if self._message is None:
            return ""
        events, self._message["status"] = self._part_done(), status
        at = self._output.index(self._message)
        events += self._event("response.output_item.done", output_index=at, item=self._message)
        self._message = None
        return events

    def _ended(self, answer: Answered) -> tuple[str, dict[str, Json]]:
        """The events that complete the items, and the response."""
        assert answer.finish is not None
        self._ours = answer.ours()
        why = STATUS.get(answer.finish.reason)
        status = "incomplete" if why else "completed"
        events = self._message_done(status)
        for call in self._calls.values():
            at, call["status"] = self._output.index(call), status
            done = {"item_id": call["id"], "output_index": at, "arguments": call["arguments"], "name": call["name"]}
            events += self._event("response.function_call_arguments.done", **done)
            events += self._event("response.output_item.done", output_index=at, item=call)
        body = self._response(status, answer.finish)
        return events, body | {"incomplete_details": {"reason": why} if why else None}

    # --- the response ---------------------------------------------------------------------------------------------

    def _response(self, status: str, finish: Finish | None) -> dict[str, Json]:
        asked = self._asked
        text, reasoning = asked.get("text") or {}, asked.get("reasoning") or {}
        return {
            "id": self._id, "object": "response", "created_at": self.created, "status": status, "background": False,
            "completed_at": int(time.time()) if status == "completed" else None,
            "error": None, "incomplete_details": None, "model": self._model, "output": self._output,
            "reasoning": {"effort": reasoning.get("effort"), "summary": None}, "store": asked.get("store", True),
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity", "medium")},
            "tool_choice": asked.get("tool_choice", "auto"), "tools": asked.get("tools", []),
            "truncation": asked.get("truncation", "disabled"),
            "parallel_tool_calls": asked.get("parallel_tool_calls", True), "service_tier": "default",
            "conversation": {"id": given} if isinstance(given := asked.get("conversation"), str) else given,
            "metadata": asked.get("metadata", {}), "user": self._user, "inhouse": self._ours,
            "usage": tokens_used(finish.usage) if finish else None,
            **{name: asked.get(name) for name in ("instructions", "previous_response_id", "max_output_tokens",
                                                  "max_tool_calls", "temperature", "top_p", "top_logprobs",
                                                  "prompt_cache_key", "safety_identifier")},
        }  # fmt: skip

    def _event(self, kind: str, **fields: Json) -> str:
        self._events += 1
        return f"event: {kind}\n" + event({"type": kind, "sequence_number": self._events - 1, **fields})


def tokens_used(usage: Usage) -> dict[str, Json]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


class CompletionEnvelope:
    """An answer as a text completion, the choice number `index` of the request."""

    def __init__(self, id: str, model: str, logprobs: int | None, usage: bool, index: int = 0) -> None:
        self._id, self._model, self._created, self._index = id, model, int(time.time()), index
        self._logprobs, self._usage, self._offset = logprobs, usage, 0

    def plain(self, answer: Answered) -> Json:
        assert answer.finish is not None
        tokens = [token for d in answer.deltas for token in d.logprobs]
        choice = self._choice(answer.text, tokens, answer.finish.reason)
        return {**self._head(), "choices": [choice], "usage": usage_body(answer.finish.usage), "inhouse": answer.ours()}

    def begin(self, answer: Answered) -> str:
        return ""

    def delta(self, delta: Delta) -> str:
        return event({**self._head(), "choices": [self._choice(delta.text, list(delta.logprobs), None)]})

    def end(self, answer: Answered) -> str:
        assert answer.finish is not None
        body = {**self._head(), "choices": [self._choice("", [], answer.finish.reason)], "inhouse": answer.ours()}
        usage = {**self._head(), "choices": [], "usage": usage_body(answer.finish.usage)}
        return event(body) + (event(usage) if self._usage else "") + DONE

    def failed(self, error: dict[str, Json]) -> str:
        return event(error)

    def _choice(self, text: str, tokens: list[dict[str, Json]], reason: str | None) -> dict[str, Json]:
        logprobs: Json = None
        if self._logprobs is not None:
            offsets = []
            for token in tokens:
                offsets.append(self._offset)
                self._offset += len(token["token"])
            logprobs = {
                "tokens": [token["token"] for token in tokens],
                "token_logprobs": [token["logprob"] for token in tokens],
                "top_logprobs": [{t["token"]: t["logprob"] for t in token["top_logprobs"]} for token in tokens],
                "text_offset": offsets,
            }
        return {"index": self._index, "text": text, "logprobs": logprobs, "finish_reason": reason}

    def _head(self) -> dict[str, Json]:
        return {"id": self._id, "object": "text_completion", "created": self._created, "model": self._model,
                "system_fingerprint": None}  # fmt: skip
