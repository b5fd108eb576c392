"""The models that the benchmarks of agents compare, in the embedded engine, and what they answer under a schema."""

import asyncio
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

from inhouse.chat import ChatRequest, collect
from inhouse.config.sections import Model
from inhouse.models.catalog import Catalog
from inhouse.models.llama import LlamaEngine
from inhouse.types import Message

MODELS = {
    "135M": "smollm2-135m-instruct",
    "0.5B": "qwen2.5-coder-0.5b-instruct",
    "1.5B": "qwen2.5-coder-1.5b-instruct",
}
THREADS = int(os.environ.get("THREADS", "0"))  # 0 for every core; 1 on a machine that others use too
RESULTS = Path(__file__).parent / "results"


class Chooser:
    """A model that answers with JSON of a schema; counts its calls and its seconds."""

    def __init__(self, model):
        self.model, self.calls, self.seconds = model, 0, 0.0

    def json(self, system, user, schema, most=200):
        """The value, None where the answer did not end within `most` tokens; and the seconds."""
        messages = (Message(role="system", content=system), Message(role="user", content=user))
        request = ChatRequest(messages=messages, json_schema=schema, max_tokens=most)
        started = time.perf_counter()
        reply = asyncio.run(collect(self.model, request))
        seconds = time.perf_counter() - started
        self.calls, self.seconds = self.calls + 1, self.seconds + seconds
        try:
            return json.loads(reply.text), seconds
        except ValueError:
            return None, seconds


@contextmanager
def opened(size, context_tokens=4096, adapter=None):
    """The model of a size, as a `Chooser`."""
    weights = Catalog().find(MODELS[size], Path()) / "model.gguf"
    engine = LlamaEngine(
        weights, Model(context_tokens=context_tokens, parallel=1, threads=THREADS), [adapter] if adapter else ()
    )
    try:
        yield Chooser(engine.model(size, None if adapter is None else 0))
    finally:
        engine.close()


def kept(file, found):
    """Writes results as JSON beside the other benchmarks' results."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / file).write_text(json.dumps(found, indent=1))
