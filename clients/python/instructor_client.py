"""instructor: structured output by its modes."""

import asyncio

import features as f
import instructor
import openai
from pydantic import BaseModel

MESSAGES = [{"role": "user", "content": f.ASK}]


class Fee(BaseModel):
    service: str
    usd: float


def ask(mode, **more):
    client = instructor.from_openai(openai.OpenAI(base_url=f.URL, api_key=f.KEY), mode=mode)
    return client.chat.completions.create(model=f.MODEL, messages=MESSAGES, response_model=Fee, max_retries=1, **more)


def structured():
    for mode in (instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA, instructor.Mode.MD_JSON):
        f.fee(ask(mode))


async def asynchronous():
    client = instructor.from_openai(openai.AsyncOpenAI(base_url=f.URL, api_key=f.KEY))
    f.fee(await client.create(model=f.MODEL, messages=MESSAGES, response_model=Fee, max_retries=1))


f.run(
    {
        "default": lambda: f.fee(
            instructor.from_openai(openai.OpenAI(base_url=f.URL, api_key=f.KEY)).create(
                model=f.MODEL, messages=MESSAGES, response_model=Fee, max_retries=1
            )
        ),
        "structured": structured,
        "tools": lambda: f.fee(ask(instructor.Mode.TOOLS)),
        "async": lambda: asyncio.run(asynchronous()),
    }
)
