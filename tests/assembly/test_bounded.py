import time

import pytest

from inhouse.assembly.bounded import Bounded, bounded
from inhouse.assembly.guard import Parts, wrapped
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.sections import Guardrails, Model, Project
from inhouse.errors import CONTEXT_LENGTH, RefusedError
from inhouse.models.scripted import Scripted
from inhouse.types import Message, least_tokens

WORDS = " ".join(f"word{n}" for n in range(80_000))  # 0.8 MB of distinct words


def said(*turns):
    """Messages from pairs of role and text."""
    return tuple(Message(role=role, content=text) for role, text in turns)


async def test_a_message_that_cannot_fit_is_refused_before_any_rail_or_model_reads_it(tmp_path):
    asked = []
    project = Project(guardrails=Guardrails(rails=["pii", "injection", "toxicity"]), model=Model(context_tokens=512))
    workspace = Workspace(project.at(tmp_path))
    model = wrapped(Parts(workspace, workspace.project), Scripted(lambda r: asked.append(r) or "Yes."))
    began = time.process_time()
    for role in ("system", "user", "assistant", "tool"):
        messages = said(("user", "What does it cost?"), (role, WORDS))
        with pytest.raises(RefusedError, match=r"context length is 512 tokens.*messages\[1\]") as error:
            await collect(model, ChatRequest(messages=messages))
        assert error.value.code == CONTEXT_LENGTH
    assert time.process_time() - began < 1
    assert not asked


def test_old_messages_that_no_prompt_holds_are_left_out_rather_than_refused():
    talk = said(
        ("user", WORDS), ("assistant", "Sorry?"), ("user", "old " * 400), ("assistant", "Yes."), ("user", "Why?")
    )
    assert bounded(talk, 512, history=2) == talk[1:]
    assert bounded(talk, 100, history=1) == talk[3:]
    with pytest.raises(RefusedError, match=r"messages\[2\] has at least 400"):
        bounded(talk, 100, history=2)
    with pytest.raises(RefusedError, match=r"messages\[0\] has"):
        bounded(talk, 512, history=None)


def test_messages_that_fit_alone_but_not_together_are_refused():
    talk = said(("user", "one " * 60), ("assistant", "two " * 60), ("user", "Why?"))
    with pytest.raises(RefusedError, match=r"messages\[0\] and those after it have at least 121"):
        bounded(talk, 100, history=6)


def test_system_messages_count_however_old_they_are():
    talk = said(("system", "rule " * 101), *[("user", "Hi."), ("assistant", "Hello.")] * 8, ("user", "Why?"))
    with pytest.raises(RefusedError, match=r"messages\[0\] has at least 101"):
        bounded(talk, 100, history=2)
    assert bounded(talk, 500, history=2) == talk


def test_calls_of_tools_count():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "x " * 101}}
    with pytest.raises(RefusedError):
        bounded((*said(("user", "Why?")), Message(role="assistant", content="", tool_calls=(call,))), 100, 2)


@pytest.mark.parametrize(
    "text", ["The fee is $25. " * 50, "| a | 1 |\n" * 50, "==== " * 80, "Überweisungsgebühren " * 40]
)
def test_the_bound_is_below_the_exact_count(text, embedder):
    assert least_tokens(text) <= embedder.count_tokens(text)


async def test_what_fits_reaches_the_model_unchanged():
    seen = []
    talk = said(*[("user", "Hi."), ("assistant", "Hello.")] * 50, ("user", "Why?"))
    await collect(
        Bounded(Scripted(lambda r: seen.append(r.messages) or "Because."), 512, 2), ChatRequest(messages=talk)
    )
    assert seen == [talk]
