"""The official Python client: chat completions, responses, completions, embeddings, and its helpers."""

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
    }
)
