"""The official Python client: chat completions, responses, completions, embeddings, its helpers, and its errors."""

import asyncio

import features as f
import openai
import pydantic

client = openai.OpenAI(base_url=f.URL, api_key=f.KEY)
CHAT = {"model": f.MODEL, "messages": [{"role": "user", "content": f.ASK}]}
PARAMETERS = {"type": "object", "properties": {"account": {"type": "string"}}, "required": ["account"],
              "additionalProperties": False}  # fmt: skip
FUNCTION = {
    "name": "get_balance",
    "description": "The balance of an account.",
    "parameters": PARAMETERS,
    "strict": True,
}


class Fee(pydantic.BaseModel):
    service: str
    usd: float


def stream():
    f.streamed(c.choices[0].delta.content for c in client.chat.completions.create(**CHAT, stream=True) if c.choices)
    with client.responses.stream(model=f.MODEL, input=f.ASK) as events:
        f.streamed([e.delta for e in events if e.type == "response.output_text.delta"])


def structured():
    f.fee(client.chat.completions.parse(**CHAT, response_format=Fee).choices[0].message.parsed)
    f.fee(client.responses.parse(model=f.MODEL, input=f.ASK, text_format=Fee).output_parsed)


def tools():
    messages = [{"role": "user", "content": f.TOOL_ASK}]
    asked = {"model": f.MODEL, "tools": [{"type": "function", "function": FUNCTION}]}
    message = client.chat.completions.create(**asked, messages=messages, tool_choice="required").choices[0].message
    call = message.tool_calls[0]
    f.called(call.function.name, call.function.arguments)
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": '{"balance_usd": 812.4}'}]
    assert client.chat.completions.create(**asked, messages=messages).choices[0].message.content
    reply = client.responses.create(
        model=f.MODEL, input=f.TOOL_ASK, tools=[{"type": "function", **FUNCTION}], tool_choice="required"
    )
    call = next(item for item in reply.output if item.type == "function_call")
    f.called(call.name, call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": '{"balance_usd": 812.4}'}
    assert client.responses.create(model=f.MODEL, input=[result], previous_response_id=reply.id).output_text


def parsed_stream(events):
    """The completion at the end of a stream of events, with what was parsed."""
    with events as stream:
        kinds = {event.type for event in stream}
        assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
        return stream.get_final_completion().choices[0].message.parsed


def helpers():
    f.fee(parsed_stream(client.chat.completions.stream(**CHAT, response_format=Fee)))
    f.fee(parsed_stream(client.beta.chat.completions.stream(**CHAT, response_format=Fee)))
    f.fee(client.beta.chat.completions.parse(**CHAT, response_format=Fee).choices[0].message.parsed)
    with client.responses.stream(model=f.MODEL, input=f.ASK, text_format=Fee) as stream:
        kinds = [event.type for event in stream]
        f.fee(stream.get_final_response().output_parsed)
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed"), kinds
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.headers["x-request-id"]
    f.right(raw.parse().choices[0].message.content)
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        f.right(response.parse().choices[0].message.content)
    *_, last = client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    assert not last.choices
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens > 0
    tokens = client.chat.completions.create(**CHAT, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    f.right("".join(token.token for token in tokens))
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
    assert client.models.retrieve(f.MODEL).id == f.MODEL


async def asynchronous():
    async with openai.AsyncOpenAI(base_url=f.URL, api_key=f.KEY) as other:
        replies = await asyncio.gather(*(other.chat.completions.create(**CHAT) for _ in range(3)))
        for reply in replies:
            f.right(reply.choices[0].message.content)
        stream = await other.chat.completions.create(**CHAT, stream=True)
        f.streamed([c.choices[0].delta.content async for c in stream if c.choices])
        f.fee((await other.chat.completions.parse(**CHAT, response_format=Fee)).choices[0].message.parsed)
        f.right((await other.responses.create(model=f.MODEL, input=f.ASK)).output_text)


def errors():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    seen = [{"role": "user", "content": [{"type": "text", "text": f.ASK}, image]}]
    create = client.chat.completions.create
    f.refused(lambda: create(**{**CHAT, "messages": seen}), openai.BadRequestError, "image_url")
    input_image = [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]}]
    f.refused(lambda: client.responses.create(model=f.MODEL, input=input_image), openai.BadRequestError, "input_image")
    f.refused(lambda: create(**CHAT, n=2), openai.BadRequestError, "'n'")
    f.refused(lambda: create(**CHAT, reasoning_effort="high"), openai.BadRequestError, "reasoning_effort")
    f.refused(lambda: create(**CHAT, extra_body={"colour": "red"}), openai.BadRequestError, "colour")
    f.refused(lambda: create(**{**CHAT, "model": "gpt-5"}), openai.NotFoundError, "gpt-5")
    f.refused(lambda: client.models.retrieve("gpt-5"), openai.NotFoundError, "gpt-5")
    wrong = openai.OpenAI(base_url=f.URL, api_key="ih_wrong")
    f.refused(wrong.models.list, openai.AuthenticationError, "API key")
    hasty = client.with_options(timeout=0.001, max_retries=0)
    f.refused(lambda: hasty.chat.completions.create(**CHAT), openai.APITimeoutError, "timed out")
    retried()


def retried():
    """A client waits as long as the server says after 429, and then gets its answer."""
    limited = openai.OpenAI(base_url=f.URL, api_key=f.SLOW_KEY).embeddings.with_raw_response
    replies = [limited.create(model="embedder", input="a wire") for _ in range(f.PER_MINUTE + 1)]
    assert [r.status_code for r in replies] == [200] * len(replies)
    assert replies[-1].retries_taken == 1, [r.retries_taken for r in replies]
    hasty = openai.OpenAI(base_url=f.URL, api_key=f.SLOW_KEY, max_retries=0)
    f.refused(lambda: hasty.embeddings.create(model="embedder", input="a wire"), openai.RateLimitError, "rate limit")


def default():
    f.right(client.responses.create(model=f.MODEL, input=f.ASK).output_text)
    f.right(client.completions.create(model=f.MODEL, prompt=f.ASK, max_tokens=80).choices[0].text)
    assert f.MODEL in [m.id for m in client.models.list()]


f.run(
    {
        "default": default,
        "chat": lambda: f.right(client.chat.completions.create(**CHAT).choices[0].message.content),
        "stream": stream,
        "structured": structured,
        "tools": tools,
        "embeddings": lambda: f.vectors(
            *(d.embedding for d in client.embeddings.create(model="embedder", input=["a wire", "a loan"]).data)
        ),
        "async": lambda: asyncio.run(asynchronous()),
        "helpers": helpers,
        "errors": errors,
    }
)
