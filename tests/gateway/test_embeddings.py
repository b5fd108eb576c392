"""Embeddings: nothing is cut in silence, arrays of tokens are read or refused, and chats do not wait for them."""

import base64
import time

import numpy as np
import openai
import pytest

from inhouse.config.gateway import Gateway
from inhouse.config.sections import Project


def test_a_long_text_is_embedded_in_parts(gateway, embedder):
    there = gateway(embedder=embedder)
    end = "The vault code is kept by the night manager."
    long = "A wire costs five dollars at the branch. " * 60 + end
    assert embedder.count_tokens(long) > 2 * embedder.recipe.max_tokens
    parts = embedder.parts(long)
    assert "".join(parts) == long
    assert len(parts) == 3
    assert all(embedder.count_tokens(part) <= embedder.recipe.max_tokens - 2 for part in parts)
    reply = there.client.embeddings.create(model="any", input=["short", long], encoding_format="float")
    assert reply.inhouse == {"parts": {"1": 3}}
    assert reply.usage.prompt_tokens == sum(embedder.count_tokens(t) for t in ["short", *parts])
    vector = np.array(reply.data[1].embedding)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    about = embedder.embed([end])[0]
    assert vector @ about > embedder.embed([long])[0] @ about  # the end of the text counts
    assert embedder.parts("") == [""]
    assert "".join(embedder.parts("x" * 5000)) == "x" * 5000


def test_arrays_of_tokens(gateway, embedder, tmp_path):
    words = ["a", " wire", " costs"]
    rows = [f"{base64.b64encode(w.encode()).decode()} {n}" for n, w in enumerate(words)]
    (tmp_path / "small.tiktoken").write_text("\n".join(rows))
    path = str(tmp_path / "small.tiktoken")
    there = gateway(embedder=embedder, project=Project(gateway=Gateway(embedding_vocabulary=path)))
    create = there.client.embeddings.create
    text, tokens, several = (create(model="any", input=i).data for i in ("a wire costs", [0, 1, 2], [[0, 1, 2], [0]]))
    assert text[0].embedding == tokens[0].embedding == several[0].embedding
    assert len(several) == 2
    with pytest.raises(openai.BadRequestError, match="Token 7 is not in the vocabulary"):
        create(model="any", input=[7])
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length") as failed:
        gateway(embedder=embedder).client.embeddings.create(model="any", input=[0, 1])
    assert failed.value.param == "input"


class Slow:
    """An embedder that takes its time."""

    name, dimensions, sides = "slow", 2, False

    def embed(self, texts, query=False):
        time.sleep(0.2)
        return np.tile(np.array([1, 0], dtype=np.float32), (len(texts), 1))

    def count_tokens(self, text):
        return len(text.split())

    def parts(self, text):
        return [text]


def test_chats_do_not_wait_for_embeddings(gateway, ask):
    import threading

    there = gateway(embedder=Slow(), parallel=1)
    create = there.client.embeddings.create
    thread = threading.Thread(target=lambda: create(model="any", input=["text"] * 200))
    thread.start()
    time.sleep(0.3)
    for n in range(3):
        there.client.chat.completions.create(**ask(f"question {n}"))
    other = there.client.with_options(api_key=there.keys.create("other", "user")[1])
    other.embeddings.create(model="any", input="one")  # takes its turn between two batches
    assert thread.is_alive()
    thread.join()
