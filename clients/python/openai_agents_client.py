"""OpenAI Agents SDK: agents over the Responses API, its default, and over chat completions."""

import asyncio

import agents
import features as f
import openai
from pydantic import BaseModel

agents.set_tracing_disabled(True)
agents.set_default_openai_client(openai.AsyncOpenAI(base_url=f.URL, api_key=f.KEY), use_for_tracing=False)
used = []


class Fee(BaseModel):
    service: str
    usd: float


@agents.function_tool
def get_balance(account: str) -> str:
    """The balance of an account."""
    used.append(account)
    return "812.40 USD"


def agent(**more):
    return agents.Agent(**({"name": "teller", "instructions": "Be brief.", "model": f.MODEL} | more))


def chat():
    client = openai.AsyncOpenAI(base_url=f.URL, api_key=f.KEY)
    model = agents.OpenAIChatCompletionsModel(f.MODEL, client)
    f.right(agents.Runner.run_sync(agent(model=model), f.ASK).final_output)


def tools():
    settings = agents.ModelSettings(tool_choice="required")
    assert agents.Runner.run_sync(agent(tools=[get_balance], model_settings=settings), f.TOOL_ASK).final_output
    f.called("get_balance", {"account": used[-1] if used else None})


async def asynchronous():  # a client belongs to one event loop
    agents.set_default_openai_client(openai.AsyncOpenAI(base_url=f.URL, api_key=f.KEY), use_for_tracing=False)
    f.right((await agents.Runner.run(agent(), f.ASK)).final_output)


def stream():
    async def pieces():  # a client belongs to one event loop
        agents.set_default_openai_client(openai.AsyncOpenAI(base_url=f.URL, api_key=f.KEY), use_for_tracing=False)
        result = agents.Runner.run_streamed(agent(), f.ASK)
        events = [e.data async for e in result.stream_events() if e.type == "raw_response_event"]
        return [e.delta for e in events if e.type == "response.output_text.delta"]

    f.streamed(asyncio.run(pieces()))


f.run(
    {
        "default": lambda: f.right(agents.Runner.run_sync(agent(), f.ASK).final_output),
        "chat": chat,
        "structured": lambda: f.fee(agents.Runner.run_sync(agent(output_type=Fee), f.ASK).final_output),
        "tools": tools,
        "stream": stream,
        "async": lambda: asyncio.run(asynchronous()),
    }
)
