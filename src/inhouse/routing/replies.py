"""A ChatModel that answers dialog acts with the project's own replies, and hands off what it must not answer: requests
for a person, and questions in a language that the assistant does not support."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, streaming
from inhouse.config.sections import Replies
from inhouse.routing.acts import ACTS, LANGUAGES, phrases, recognize
from inhouse.text.language import language

WANTS_PERSON = "asked for a person"
OTHER_LANGUAGE = "other_language"
RECENT = 3  # messages of the user whose language is looked at, from the last one back


class WithReplies:
    """A ChatModel. A dialog act is answered without asking `model`; everything else passes unchanged.

    A note of layer "acts", kind "act" says which act it was. For a wish for a person and for a question in another
    language there is also the note of layer "guarded", kind "handoff", as when a guardrail hands a conversation off, so
    that it goes to the inbox.

    Args:
        model: answers everything else.
        replies: the project's texts; an empty one turns its act off, a default one is given in the user's language.
        name: of the project, for the replies.
        languages: those that the model answers in; without any, all.
    """

    def __init__(self, model: ChatModel, replies: Replies, name: str, languages: Collection[str] = ()) -> None:
        self.name = model.name
        self._model = model
        self._replies = replies
        self._project = name
        self._languages = frozenset(languages)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the reply to a dialog act, or what the model says.

        Raises:
            BackendError: the model could not answer.
        """
        act, reply, handed_off = self._reply(request)
        if not reply:
            async with streaming(self._model, request) as events:
                async for event in events:
                    yield event
            return
        yield Delta(text=reply)
        yield Note(layer="acts", kind="act", data={"act": act})
        if handed_off:
            yield Note(layer="guarded", kind="handoff", data={"reason": handed_off})
        yield Finish(reason="stop")

    def _reply(self, request: ChatRequest) -> tuple[str, str, str]:
        """The act of the last message, the reply to it, and why it goes to a person; empty where there is none."""
        if request.json_schema is not None or not request.messages or request.messages[-1].role != "user":
            return "", "", ""
        said = [message.content for message in request.messages if message.role == "user"]
        used = _language(said)
        found = recognize(said[-1], used)
        if found and not (found.act == "greeting" and self._answers(request, found.language)):
            return found.act, self._text(found.act, found.language), WANTS_PERSON if found.act == "person" else ""
        if used and self._languages and used not in self._languages:
            return OTHER_LANGUAGE, self._text(OTHER_LANGUAGE, used), f"asked in another language ({used})"
        return "", "", ""

    def _answers(self, request: ChatRequest, language: str) -> bool:
        """Whether the message answers a question of the assistant, as "morning" does. Replies to acts ask nothing."""
        before = next((m.content for m in reversed(request.messages) if m.role == "assistant"), "").rstrip()
        return before.endswith("?") and all(before != self._text(act, language) for act in ACTS)

    def _text(self, act: str, used: str) -> str:
        """The project's own text; the default one in the language that is used, where it is known."""
        text = str(getattr(self._replies, act))
        if text == Replies.model_fields[act].default and used in LANGUAGES:
            text = phrases(used).replies.get(act, text)
        return text.replace("{name}", self._project)


def _language(said: Sequence[str]) -> str:
    """The language of the last of a user's messages; where that is not clear, of the one before it."""
    return next(filter(None, map(language, reversed(said[-RECENT:]))), "")
