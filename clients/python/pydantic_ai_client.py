"""pydantic-ai: agents over both APIs, output by tool, native schema and prompt, tools, streams."""

import asyncio

import features as f
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=f.URL, api_key=f.KEY)
chat = OpenAIChatModel(f.MODEL, provider=provider)
used = []


class Fee(BaseModel):
    """A fee."""

    service: str
    usd: float


def get_balance(account: str) -> str:
    """The balance of an account."""
    used.append(account)
    return "812.40 USD"


def structured():
    for output in (NativeOutput(Fee), ToolOutput(Fee), PromptedOutput(Fee)):
        f.fee(Agent(chat, output_type=output).run_sync(f.ASK).output)


def tools():
    assert Agent(chat, tools=[get_balance]).run_sync(f.TOOL_ASK).output
    f.called("get_balance", {"account": used[-1] if used else None})


async def asynchronous():
    f.right((await Agent(chat).run(f.ASK)).output)


def stream():
    async def pieces():
        async with Agent(chat).run_stream(f.ASK) as result:
            return [piece async for piece in result.stream_text(delta=True)]

    f.streamed(asyncio.run(pieces()))


f.run(
    {
        "default": lambda: f.right(Agent(OpenAIResponsesModel(f.MODEL, provider=provider)).run_sync(f.ASK).output),
        "chat": lambda: f.right(Agent(chat, instructions="Be brief.").run_sync(f.ASK).output),
        "stream": stream,
        "structured": structured,
        "tools": tools,
        "async": lambda: asyncio.run(asynchronous()),
    }
)
