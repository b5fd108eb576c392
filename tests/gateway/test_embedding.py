"""Long lists of texts to embed, beside answers and other embeddings."""

import threading
import time

import httpx

TEXT = "How do I send a wire to another bank, and what does it cost? " * 12


def test_a_long_list_keeps_neither_answers_nor_other_embeddings_waiting(gateway, ask, embedder):
    there = gateway(embedder=embedder, parallel=1)
    done = []

    def long():
        body = {"model": "any", "input": [f"{n} {TEXT}" for n in range(100)]}
        with httpx.Client(base_url=there.url, headers=there.http.headers, timeout=300) as http:
            done.append(http.post("/v1/embeddings", json=body))

    thread = threading.Thread(target=long)
    thread.start()
    time.sleep(0.3)
    for _ in range(3):
        assert there.http.post("/v1/chat/completions", json=ask()).status_code == 200
    one = there.http.post("/v1/embeddings", json={"model": "any", "input": "a wire"})
    assert (one.status_code, done) == (200, [])
    thread.join()
    assert done[0].status_code == 200
    assert len(done[0].json()["data"]) == 100
