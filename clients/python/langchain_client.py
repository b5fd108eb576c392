"""LangChain: ChatOpenAI over both APIs, OpenAI, OpenAIEmbeddings with its tokens, structured output by each method."""

import asyncio

import features as f
import langchain_openai as lc
from langchain_core.tools import tool
from pydantic import BaseModel

OPTIONS = {"base_url": f.URL, "api_key": f.KEY, "model": f.MODEL}
chat = lc.ChatOpenAI(**OPTIONS)


class Fee(BaseModel):
    """A fee."""

    service: str
    usd: float


@tool
def get_balance(account: str) -> str:
    """The balance of an account."""
    return "812.40 USD"


def structured():
    for method in ("json_schema", "function_calling", "json_mode"):
        ask = f.ASK if method != "json_mode" else f"{f.ASK} Answer in JSON with the keys service and usd."
        f.fee(chat.with_structured_output(Fee, method=method).invoke(ask))


def tools():
    bound = chat.bind_tools([get_balance], tool_choice="any")
    message = bound.invoke(f.TOOL_ASK)
    call = message.tool_calls[0]
    f.called(call["name"], call["args"])
    result = get_balance.invoke(call)
    assert chat.bind_tools([get_balance]).invoke([("user", f.TOOL_ASK), message, result]).content


def embeddings():
    options = {**OPTIONS, "model": "embedder"}
    f.vectors(lc.OpenAIEmbeddings(**options, check_embedding_ctx_length=False).embed_query("a wire"))
    f.vectors(*lc.OpenAIEmbeddings(**options).embed_documents(["a wire", "a loan " * 300]))


async def asynchronous():
    f.right((await chat.ainvoke(f.ASK)).text)
    f.streamed([piece.text async for piece in chat.astream(f.ASK)])
    f.fee(await chat.with_structured_output(Fee).ainvoke(f.ASK))
    for reply in await chat.abatch([f.ASK, f.ASK]):
        f.right(reply.text)


def default():
    f.right(chat.invoke(f.ASK).text)
    f.right(lc.ChatOpenAI(**OPTIONS, use_responses_api=True).invoke(f.ASK).text)
    f.right(lc.OpenAI(**OPTIONS).invoke(f.ASK))


f.run(
    {
        "default": default,
        "chat": lambda: f.right(chat.invoke([("system", "Be brief."), ("user", f.ASK)]).content),
        "stream": lambda: f.streamed(c.text for c in chat.stream(f.ASK)),
        "structured": structured,
        "tools": tools,
        "embeddings": embeddings,
        "async": lambda: asyncio.run(asynchronous()),
    }
)
