"""Nothing that one group asked shows in what another group gets: neither an approved reply, nor tokens of a processed
prompt, nor a text that was embedded before. A real engine, real guardrails, and real keys of three groups."""

import httpx
import pytest

from inhouse.assembly.guard import Parts, wrapped
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Model, Project
from inhouse.models.catalog import Catalog
from inhouse.models.llama import LlamaEngine
from inhouse.routing.reuse import Approved, Reused
from inhouse.text import cache
from inhouse.types import Message, together

QUESTION = "What is the limit that tellers hand out without asking the manager of their branch?"
SECRET = "Thirty-one hundred dollars."


@pytest.fixture(scope="module")
def engine(tiny_gguf):
    engine = LlamaEngine(tiny_gguf, Model(context_tokens=512, parallel=2, threads=1))
    yield engine
    engine.close()


class Watched:
    """The real embedder, and what it embeds."""

    def __init__(self, embedder):
        self.name, self.dimensions, self.sides = embedder.name, embedder.dimensions, embedder.sides
        self.count_tokens, self.parts = embedder.count_tokens, embedder.parts
        self._embedder, self.texts = embedder, []

    def embed(self, texts, query=False):
        self.texts += texts
        return self._embedder.embed(texts, query)

    def read(self, texts):
        self.texts += texts
        return self._embedder.read(texts)


@pytest.fixture
def served(gateway, engine, embedder, models_dir, tmp_path, monkeypatch):
    """A gateway over the engine behind rails that embed questions, with an approved reply of the group "staff"."""
    watched = Watched(embedder)
    monkeypatch.setattr("inhouse.assembly.guard._cached", lambda _: rails)
    rails = cache.CachedEmbedder(watched)
    message = Message(role="user", content=QUESTION)
    reply = Approved(id="r1", messages=(message,), answer=SECRET, access=(together(["staff"]), frozenset()), by="bea")
    project = Project().model_copy(
        update={"guardrails": Project().guardrails.model_copy(update={"rails": ("injection",)})}
    )
    project = project.at(tmp_path)
    replies = [reply]
    rung = Reused(lambda: replies, watched, 0.6)
    model = wrapped(Parts(Workspace(project, Catalog(models_dir.parent)), project, reused=rung), engine.model("tuned"))
    started = gateway({"custom": model}, role="user", groups=("staff",))
    started.watched, started.replies = watched, replies
    return started


@pytest.fixture
def asked(served):
    """Asks with a new key of the groups, or with a given one."""

    def ask(groups=(), text=QUESTION, secret=""):
        secret = secret or served.keys.create("other", "user", groups)[1]
        body = {"model": "custom", "messages": [{"role": "user", "content": text}], "max_tokens": 4}
        headers = {"Authorization": f"Bearer {secret}"}
        answer = httpx.post(f"{served.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def test_an_approved_reply_stays_in_its_groups(served, asked):
    own = asked(secret=served.secret)
    assert own["choices"][0]["message"]["content"] == SECRET
    assert own["inhouse"]["reused"]["reply"] == "r1"
    assert served.state.audit.get(own["id"]).reused["by"] == "bea"
    for groups in ((), ("sales",)):
        other = asked(groups)
        assert SECRET not in str(other)
        assert "reused" not in other["inhouse"]
        assert served.state.audit.get(other["id"]).reused is None
    assert asked(("sales", "staff"))["choices"][0]["message"]["content"] == SECRET


def test_a_guessed_prompt_finds_no_processed_tokens(served, asked):
    served.replies.clear()
    first = asked(secret=served.secret)
    again = asked(secret=served.secret)
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    for groups in ((), ("sales",)):
        guessed, other = asked(groups), asked(groups, QUESTION.replace("tellers", "cashiers"))
        assert guessed["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        assert other["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_a_guess_takes_the_path_of_any_other_question(served, asked):
    """What is embedded for a guess is what is embedded for a question that nobody asked: the work, and so the time, is
    the same. Within the group, what was embedded is kept."""

    def embedded(ask):
        served.watched.texts.clear()
        ask()
        return sum(QUESTION in text for text in served.watched.texts)

    new = embedded(lambda: asked(secret=served.secret))
    known = embedded(lambda: asked(secret=served.secret))
    assert new > known  # the rails keep what they embedded: that is what must not cross groups
    guess = embedded(lambda: asked(("sales",)))
    served.watched.texts.clear()
    asked(("board",), QUESTION)
    never = sum(QUESTION in text for text in served.watched.texts)
    assert guess == never
    assert guess + 1 == new  # one more in its own group, to compare it with the approved question
