"""Haystack: generators over both APIs, embedders."""

import asyncio
import os

import features as f
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator, OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage, Document
from haystack.tools import Tool
from haystack.utils import Secret
from pydantic import BaseModel

os.environ["OPENAI_API_KEY"] = f.KEY
OPTIONS = {"api_base_url": f.URL, "api_key": Secret.from_token(f.KEY)}
ASKED = [ChatMessage.from_user(f.ASK)]


class Fee(BaseModel):
    service: str
    usd: float


def chat(**more):
    return OpenAIChatGenerator(model=f.MODEL, **OPTIONS, **more)


def stream():
    pieces = []
    chat(streaming_callback=lambda chunk: pieces.append(chunk.content)).run(ASKED)
    f.streamed(pieces)


def tools():
    parameters = {"type": "object", "properties": {"account": {"type": "string"}}, "required": ["account"]}
    tool = Tool("get_balance", "The balance of an account.", parameters, lambda account: "812.40 USD")
    reply = chat(tools=[tool], generation_kwargs={"tool_choice": "required"}).run([ChatMessage.from_user(f.TOOL_ASK)])
    call = reply["replies"][0].tool_calls[0]
    f.called(call.tool_name, call.arguments)


def structured():
    reply = chat(generation_kwargs={"response_format": Fee}).run(ASKED)["replies"][0]
    f.fee(Fee.model_validate_json(reply.text))


def default():
    f.right(chat().run(ASKED)["replies"][0].text)
    f.right(OpenAIResponsesChatGenerator(model=f.MODEL, **OPTIONS).run(ASKED)["replies"][0].text)


def embeddings():
    text = OpenAITextEmbedder(model="embedder", **OPTIONS).run("a wire")["embedding"]
    documents = OpenAIDocumentEmbedder(model="embedder", progress_bar=False, **OPTIONS).run(
        [Document(content="a loan")]
    )
    f.vectors(text, documents["documents"][0].embedding)


f.run(
    {
        "default": default,
        "chat": lambda: f.right(chat(generation_kwargs={"temperature": 0}).run(ASKED)["replies"][0].text),
        "stream": stream,
        "structured": structured,
        "tools": tools,
        "embeddings": embeddings,
        "async": lambda: f.right(asyncio.run(chat().run_async(ASKED))["replies"][0].text),
    }
)
