"""Text completions through the official client."""

import openai
import pytest

from inhouse.models.scripted import Scripted


def test_prompts_are_questions(gateway):
    asked = []
    there = gateway({"custom": Scripted(lambda r: asked.append((r.messages, r.max_tokens)) or f"A: {len(asked)}")})
    create = there.client.completions.create
    reply = create(model="custom", prompt="What is a wire?", temperature=0)
    assert (reply.choices[0].text, reply.choices[0].finish_reason, reply.object) == ("A: 1", "stop", "text_completion")
    assert reply.id.startswith("cmpl-")
    assert there.state.audit.get(reply.id).answer == "A: 1"
    assert (asked[0][0][0].content, asked[0][1]) == ("What is a wire?", 16)
    chunks = list(create(model="custom", prompt=["Once"], max_tokens=9, stream=True))
    assert "".join(c.choices[0].text for c in chunks) == "A: 2"
    assert chunks[-1].choices[0].finish_reason == "stop"
    several = create(model="custom", prompt=["a", "b"], max_tokens=9)
    assert [(c.index, c.text) for c in several.choices] == [(0, "A: 3"), (1, "A: 4")]
    assert several.usage.total_tokens == several.usage.prompt_tokens + several.usage.completion_tokens
    assert len(there.state.audit.find()) == 4
    assert create(model="custom", prompt="x", logprobs=1).choices[0].logprobs.tokens == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "x", "echo": True}, "echo"),
        ({"prompt": "x", "suffix": "y"}, "suffix"),
        ({"prompt": "x", "best_of": 3}, "best_of"),
        ({"prompt": "x", "n": 2}, "n"),
        ({"prompt": [1, 2]}, "prompt[0]"),
        ({"prompt": ["a", "b"], "stream": True}, "prompt"),
        ({"prompt": []}, "prompt"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(gateway, body, param):
    with pytest.raises(openai.BadRequestError) as failed:
        gateway().client.post("/completions", body={"model": "custom", **body}, cast_to=object)
    assert failed.value.param == param
