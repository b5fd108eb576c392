"""A stand-in for a model, on loopback: it answers with the sentence of the passages that fits the question best.

It speaks as much of the protocol of vLLM as `model.engine_url` needs, takes a millisecond, and is wrong or hands off
now and then. Benchmarks of what happens around answers use it where a model would take hours.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from inhouse.text.words import content_words

WITHOUT_PASSAGES = "Thank you for asking. Our website has all about it, and a colleague will gladly help you."
LEAST = 0.45  # share of the words of a question that a sentence, with the place that it is from, must have


def answer(messages: list[dict]) -> str:
    """The answer to a grounded prompt, with a citation; the hand-off that the prompt names if no sentence fits."""
    passages, asked, question = messages[-1]["content"].rpartition("\n\nQuestion: ")
    if not asked:
        return WITHOUT_PASSAGES
    wanted, best, said = set(content_words(question)), 0.0, ""
    for n, passage in enumerate(re.split(r"^\[\d+\] ", passages, flags=re.MULTILINE)[1:], 1):
        place, _, text = passage.partition(": ")
        titled = set(content_words(place))
        for sentence in re.split(r"(?<=[.!?])\s+|\n", text):
            stems = set(content_words(sentence))
            fits = len(wanted & (stems | titled)) + len(wanted & stems) / 2 - n / 10
            if fits > best and len(sentence) > 8:
                best, said = fits, f"{sentence.strip()} [{n}]"
    if best >= max(1.0, LEAST * len(wanted)):
        return said
    found = re.search(r'say: "([^"]+)"', messages[0]["content"])
    return found[1] if found else "I do not know."


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        known = {"/version": {"version": "stand-in"}, "/v1/models": {"data": [{"id": "m", "max_model_len": 1 << 20}]}}
        self.send(json.dumps(known.get(self.path, {})), "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "messages" not in body:  # asked whether it still generates
            self.send(json.dumps({"choices": [{"text": ".", "finish_reason": "stop"}]}), "application/json")
            return
        tokens = re.findall(r"\s*\S+", answer(body["messages"]))
        chunks = [
            {"choices": [{"index": 0, "delta": {"content": token}, "finish_reason": None,
                          "logprobs": {"content": [{"token": token, "logprob": -0.1, "top_logprobs": []}]}}]}
            for token in tokens
        ]  # fmt: skip
        read = sum(len(m["content"]) for m in body["messages"]) // 4
        usage = {"prompt_tokens": read, "completion_tokens": len(tokens), "total_tokens": read + len(tokens)}
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
        self.send("".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n", "text/event-stream")

    def send(self, text: str, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


def started(port: int = 0) -> str:
    """Starts it in threads of this process; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
