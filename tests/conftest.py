"""Fixtures of all rooms: the models on this machine, and a closed network."""

import json
import os
import socket
import time
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from inhouse.models.catalog import CATALOG, Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.privacy.anonymize import Anonymizer
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.types import Example, Message

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in a build: tests stay fast beside other programs
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores
HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(autouse=True)
def closed_network(monkeypatch):
    """Refuses every connection and look-up but to this machine, and says where it went."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded(self, address):
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise AssertionError(f"a call left the machine: {address}")
        return connect(self, address)

    def guarded_look_up(host, *args, **kwargs):
        if host not in LOOPBACK and host is not None:
            raise AssertionError(f"a name was looked up: {host}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(scope="session")
def takes_linear_time():
    """Says whether work on a text eight times as long takes about eight times as long; quadratic work takes 64 times."""

    def seconds(work, text) -> float:
        started = time.process_time()
        work(text)
        return time.process_time() - started

    def linear(work, text_of, size=4000) -> bool:
        work(text_of(10))  # imports and caches
        short = min(seconds(work, text_of(size)) for _ in range(3))
        return any(seconds(work, text_of(8 * size)) < 24 * short + 0.2 for _ in range(3))

    return linear


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The cache folder with one folder a model; `make models` fills it with the default ones."""
    catalog = Catalog()
    states = catalog.names()
    missing = [name for name, entry in CATALOG.items() if entry.default and states[name] != "ready"]
    if missing:
        pytest.skip(f"models not on this machine: {', '.join(missing)} (`inhouse models pull`)")
    return catalog.folder


@pytest.fixture(scope="session")
def weights(models_dir) -> Path:
    """The default model's folder; its weights are model.gguf."""
    return models_dir / "smollm2-135m-instruct"


@pytest.fixture(scope="session")
def embedder(models_dir) -> OnnxEmbedder:
    return OnnxEmbedder(models_dir / "minilm-l6-v2")


@pytest.fixture(scope="session")
def e5(models_dir) -> OnnxEmbedder:
    """The multilingual embedder, which is not a default one."""
    if not (models_dir / "e5-small").is_dir():
        pytest.skip("e5-small is not on this machine (`inhouse models pull e5-small`)")
    return OnnxEmbedder(models_dir / "e5-small")


@pytest.fixture(scope="session")
def chat():
    """Writes an example turn by turn, the user first; the last text is the reply."""

    def written(*texts: str, **more) -> Example:
        roles = ("user", "assistant")
        messages = tuple(Message(role=roles[n % 2], content=t) for n, t in enumerate(texts[:-1]))
        return Example(**({"id": texts[0][:20], "messages": messages, "target": texts[-1]} | more))

    return written


@pytest.fixture(scope="session")
def spacy_folder(models_dir):
    return models_dir / "en-core-web-sm"


@pytest.fixture(scope="session")
def anonymizer(spacy_folder):
    return Anonymizer(spacy_folder, ["Cambridge Belfry", "Best Buy"])


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The public data beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no public data at {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny(weights, tmp_path_factory) -> Path:
    """A Hugging Face folder with a tiny random Llama that has the default model's tokenizer and chat template."""
    return write_tiny(weights, tmp_path_factory.mktemp("tiny"))


def write_tiny(weights: Path, folder: Path) -> Path:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(weights, gguf_file="model.gguf")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_gguf(tiny, tmp_path_factory) -> Path:
    from inhouse.training.convert import convert

    file = tmp_path_factory.mktemp("weights") / "tiny.gguf"
    convert(tiny, file, "f16")
    return file


@pytest.fixture(scope="session")
def write_project(tiny_gguf):
    """Writes a small project, whose base is the tiny model, into a folder."""
    return lambda folder: small_project(folder, tiny_gguf)


@pytest.fixture(scope="session")
def built(write_project, models_dir, tmp_path_factory) -> Path:
    """The small project; the first test that builds it makes all of its artifacts."""
    return write_project(tmp_path_factory.mktemp("project"))


def small_project(folder: Path, base: Path) -> Path:
    (folder / "documents" / "staff").mkdir(parents=True)
    for n in range(6):
        text = f"# Plan {n}\n\n## What does plan {n} cost?\n\nPlan {n} costs ${n + 3}.\n\n## Is plan {n} fast?\n\nIt takes {n} days."
        (folder / "documents" / f"plan{n}.md").write_text(text)
    (folder / "documents" / "staff" / "secret.md").write_text(
        "# Secret\n\n## Limit\n\nThe teller limit is $31 for each customer."
    )
    rows = []
    for n in range(6):
        for k, ask in enumerate(
            ("price of plan {}?", "how much is plan {}", "what do I pay for plan {} please", "cost, plan {}?")
        ):
            rows.append({"id": f"{n}{k}", "messages": [{"role": "user", "content": ask.format(n)},
                         {"role": "assistant", "content": f"Plan {n} costs ${n + 3}."}]})  # fmt: skip
    (folder / "log.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    tests = [{"id": f"t{n}", "messages": [{"role": "user", "content": f"Tell me the charge of plan {n}"}],
              "answer": f"Plan {n} costs ${n + 3}.", "checks": {"must_include": [f"${n + 3}"]},
              "sources": [{"document": f"plan{n}.md", "text": f"Plan {n} costs ${n + 3}."}]} for n in range(4)]  # fmt: skip
    tests.append({"id": "u", "messages": [{"role": "user", "content": "Do you sell boats?"}], "answer": HANDOFF,
                  "checks": {"must_not_answer": True}})  # fmt: skip
    (folder / "tests.jsonl").write_text("\n".join(json.dumps(t) for t in tests))
    (folder / "inhouse.toml").write_text(f"""
name = "plans"
[[documents.access]]
folder = "staff"
groups = ["staff"]
[curation]
conversations = ["log.jsonl"]
tests = ["tests.jsonl"]
[assistant]
max_tokens = 12
[model]
base = "{base}"
quantization = "f16"
context_tokens = 1024
parallel = 2
threads = 1
[training]
rank = 4
epochs = 1
max_minutes = 0
[evaluation]
probes = 1
""")
    return folder


# --- ledgers on SQLite and PostgreSQL ------------------------------------------------------------------------

SERVER = os.environ.get("INHOUSE_TEST_POSTGRES", "")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """The URL of an empty database of this test's own."""
    if request.param == "sqlite":
        yield ledger_url(tmp_path)
        return
    if not SERVER:
        pytest.skip("INHOUSE_TEST_POSTGRES is not set to the URL of a PostgreSQL server")
    name = f"inhouse_test_{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(SERVER, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger(url):
    ledger = Ledger(url)
    yield ledger
    ledger.close()
