"""A ChatModel that answers dialog acts with the project's own replies and lets a wish for a person through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note
from inhouse.config.sections import Replies
from inhouse.routing.acts import Act, phrases, recognize
from inhouse.text.language import language

WANTS_PERSON = "asked for a person"


class WithReplies:
    """A ChatModel. A dialog act is answered without asking `model`; everything else passes unchanged.

    A note of layer "acts", kind "act" says which act it was. For a wish for a person there is also the note of layer
    "guarded", kind "handoff", as when a guardrail hands a conversation off, so that it goes to the inbox.

    Args:
        model: answers everything else.
        replies: the project's texts; an empty one turns its act off, a default one is given in the user's language.
        name: of the project, for the replies.
    """

    def __init__(self, model: ChatModel, replies: Replies, name: str) -> None:
        self.name = model.name
        self._model = model
        self._replies = replies
        self._project = name

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the reply to a dialog act, or what the model says.

        Raises:
            BackendError: the model could not answer.
        """
        act, reply = self._reply(request)
        if act is None or not reply:
            async for event in self._model.stream(request):
                yield event
            return
        yield Delta(text=reply)
        yield Note(layer="acts", kind="act", data={"act": act})
        if act == "person":
            yield Note(layer="guarded", kind="handoff", data={"reason": WANTS_PERSON})
        yield Finish(reason="stop")

    def _reply(self, request: ChatRequest) -> tuple[Act | None, str]:
        """The act of the last message, and the reply to it."""
        if request.json_schema is not None or not request.messages or request.messages[-1].role != "user":
            return None, ""
        said = [message.content for message in request.messages if message.role == "user"]
        found = recognize(said[-1], language("\n".join(said[-3:])))
        if found is None:
            return None, ""
        texts: Mapping[str, str] = self._replies.model_dump()
        text = texts[found.act]
        if text == Replies.model_fields[found.act].default:
            text = phrases(found.language).replies.get(found.act, text)
        return found.act, text.replace("{name}", self._project)
