"""LiteLLM: completion, responses, text completion and embeddings of an OpenAI-compatible server."""

import asyncio

import features as f
import litellm
from pydantic import BaseModel

litellm.telemetry = False
OPTIONS = {"api_base": f.URL, "api_key": f.KEY}
MODEL = f"openai/{f.MODEL}"
MESSAGES = [{"role": "user", "content": f.ASK}]
PARAMETERS = {"type": "object", "properties": {"account": {"type": "string"}}, "required": ["account"]}
TOOL = {"type": "function", "function": {"name": "get_balance", "description": "The balance of an account.",
                                         "parameters": PARAMETERS}}  # fmt: skip


class Fee(BaseModel):
    service: str
    usd: float


def ask(**more):
    return litellm.completion(model=MODEL, messages=MESSAGES, **OPTIONS, **more)


def tools():
    messages = [{"role": "user", "content": f.TOOL_ASK}]
    asked = {"model": MODEL, "tools": [TOOL], **OPTIONS}
    message = litellm.completion(messages=messages, tool_choice="required", **asked).choices[0].message
    f.called(message.tool_calls[0].function.name, message.tool_calls[0].function.arguments)
    messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "812.40 USD"}]
    assert litellm.completion(messages=messages, **asked).choices[0].message.content


async def asynchronous():
    asked = {"model": MODEL, "messages": MESSAGES, **OPTIONS}
    f.right((await litellm.acompletion(**asked)).choices[0].message.content)
    f.streamed([c.choices[0].delta.content async for c in await litellm.acompletion(**asked, stream=True)])


def default():
    f.right(ask().choices[0].message.content)
    reply = litellm.responses(model=MODEL, input=f.ASK, **OPTIONS)
    f.right(reply.output[0].content[0].text)
    text = litellm.text_completion(model=f"text-completion-openai/{f.MODEL}", prompt=f.ASK, max_tokens=80, **OPTIONS)
    f.right(text.choices[0].text)


f.run(
    {
        "default": default,
        "chat": lambda: f.right(ask(temperature=0, max_tokens=80).choices[0].message.content),
        "stream": lambda: f.streamed(c.choices[0].delta.content for c in ask(stream=True)),
        "structured": lambda: f.fee(Fee.model_validate_json(ask(response_format=Fee).choices[0].message.content)),
        "tools": tools,
        "embeddings": lambda: f.vectors(
            *(d["embedding"] for d in litellm.embedding(model="openai/embedder", input=["a", "b"], **OPTIONS).data)
        ),
        "async": lambda: asyncio.run(asynchronous()),
    }
)
