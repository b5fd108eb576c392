"""A gateway with a real ledger behind a real uvicorn on loopback, over models made for the test."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import openai
import pytest
import uvicorn

from inhouse.config.sections import Project
from inhouse.gateway.app import create_app
from inhouse.gateway.limits import protocol
from inhouse.gateway.state import State
from inhouse.models.scripted import Scripted
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.traffic import Traffic


class Models:
    """A fleet of models by name."""

    def __init__(self, models):
        self.models = models

    def names(self):
        return list(self.models)

    def model(self, name):
        return self.models[name]

    def trouble(self):
        return ""

    async def refresh(self):
        return False

    def close(self):
        return None


def answer(request):
    return f"You said: {request.messages[-1].content}"


@pytest.fixture
def gateway(tmp_path):
    """gateway(models, **settings of [gateway]) -> a namespace with url, state, key, secret, http, client."""
    open_ones = []

    @contextmanager
    def running(state):
        config = uvicorn.Config(
            create_app(state), port=0, http=protocol(), lifespan="on", access_log=False, log_config=None
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()

    def start(models=None, role="admin", groups=(), per_minute=0, embedder=None, audit=None, project=None, **settings):
        project = (project or Project()).model_copy(
            update={"gateway": (project or Project()).gateway.model_copy(update=settings)}
        )
        ledger = Ledger(ledger_url(tmp_path))
        keys = Keys(ledger)
        key, secret = keys.create("tester", role, groups, per_minute=per_minute)
        models = models or {"custom": Scripted(answer), "base": Scripted(lambda r: "base says so")}
        state = State(
            project, Models(models), audit(ledger) if audit else Audit(ledger), keys, Inbox(ledger),
            Feedback(ledger), Traffic(ledger), embedder,
        )  # fmt: skip
        context = running(state)
        url = context.__enter__()
        http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=20)
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0)
        open_ones.append((context, http, client, state, ledger))
        return SimpleNamespace(
            url=url, state=state, key=key, secret=secret, http=http, client=client, keys=keys, ledger=ledger
        )

    yield start
    for context, http, client, state, ledger in reversed(open_ones):
        http.close()
        client.close()
        context.__exit__(None, None, None)
        state.audit.close()
        ledger.close()


@pytest.fixture
def ask():
    """The body of a chat."""

    def body(text="hello", **more):
        return {"model": "custom", "messages": [{"role": "user", "content": text}], **more}

    return body
