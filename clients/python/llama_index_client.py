"""LlamaIndex: OpenAI-like chat and embeddings, structured prediction, function calling."""

import asyncio

import features as f
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

llm = OpenAILike(
    model=f.MODEL, api_base=f.URL, api_key=f.KEY, is_chat_model=True, is_function_calling_model=True,
    should_use_structured_outputs=True, timeout=120,
)  # fmt: skip
ASKED = [ChatMessage(role="user", content=f.ASK)]


class Fee(BaseModel):
    """A fee."""

    service: str
    usd: float


def get_balance(account: str) -> str:
    """The balance of an account."""
    return "812.40 USD"


def tools():
    tool = FunctionTool.from_defaults(get_balance)
    reply = llm.chat_with_tools([tool], user_msg=f.TOOL_ASK, tool_required=True)
    call = llm.get_tool_calls_from_response(reply)[0]
    f.called(call.tool_name, call.tool_kwargs)


def embeddings():
    model = OpenAILikeEmbedding(model_name="embedder", api_base=f.URL, api_key=f.KEY)
    f.vectors(model.get_text_embedding("a wire"), *model.get_text_embedding_batch(["a loan", "a wire " * 500]))


async def asynchronous():
    f.right((await llm.achat(ASKED)).message.content)
    f.streamed([c.delta async for c in await llm.astream_chat(ASKED)])


def structured():
    f.fee(llm.as_structured_llm(Fee).chat(ASKED).raw)


f.run(
    {
        "default": lambda: f.right(llm.complete(f.ASK).text),
        "chat": lambda: f.right(llm.chat(ASKED).message.content),
        "stream": lambda: f.streamed(c.delta for c in llm.stream_chat(ASKED)),
        "structured": structured,
        "tools": tools,
        "embeddings": embeddings,
        "async": lambda: asyncio.run(asynchronous()),
    }
)
