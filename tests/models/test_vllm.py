"""vLLM: adapters that come and go, processes that die, and who can reach it. What every engine does is in test_llama."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from inhouse.chat import ChatRequest, Delta, collect
from inhouse.config.sections import Model
from inhouse.errors import BackendError, InputError, RestartingError
from inhouse.models import supervised
from inhouse.models.catalog import Catalog
from inhouse.models.engines import VERSION, place_of
from inhouse.models.supervised import tree
from inhouse.models.vllm import VllmEngine, bias_of, kv_bytes, rank_of
from inhouse.types import Message

pytestmark = pytest.mark.slow
SMALL = Model(context_tokens=512, parallel=2)


def ask(text="Say hello.", tokens=8, **more):
    return ChatRequest(messages=(Message(role="user", content=text),), max_tokens=tokens, **more)


@pytest.fixture(scope="module")
def adapters(plain, weights, tmp_path_factory):
    """Two LoRA adapters that change the answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from inhouse.training.sft import load

    folder = tmp_path_factory.mktemp("adapters")
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = get_peft_model(load(weights)[1], LoraConfig(r=4, lora_alpha=4, target_modules="all-linear"))
        for name, tensor in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(tensor, std=0.5)
        model.save_pretrained(folder / str(seed), save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module")
def running(plain, vllm, adapters):
    patch = pytest.MonkeyPatch()
    patch.setattr(supervised, "CHECK_S", 0.1)
    patch.setattr(supervised, "TOO_SOON_S", 0.0)
    patch.setattr(supervised, "WAIT_S", 120.0)
    engine = VllmEngine(plain, SMALL, vllm, rank_of(adapters / "1"))
    yield engine
    engine.close()
    patch.undo()


def text(model, question="Describe a ship in one sentence."):
    return asyncio.run(collect(model, ask(question))).text


def test_adapters_are_loaded_and_unloaded_while_it_runs(running, adapters):
    plain = text(running.model("base"))
    running.load("one", adapters / "1")
    running.load("two", adapters / "2")
    said = {name: text(running.model("tuned", name)) for name in ("one", "two")}
    assert len({plain, *said.values()}) == 3
    assert text(running.model("base")) == plain
    running.unload("two")
    with pytest.raises(BackendError):
        text(running.model("tuned", "two"))
    assert text(running.model("tuned", "one")) == said["one"]


def test_a_folder_that_is_no_adapter_is_refused(running, tmp_path):
    with pytest.raises(InputError, match="cannot load this adapter"):
        running.load("nothing", tmp_path)


def test_only_this_user_can_reach_it(running):
    folder = Path(running.socket).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    sockets = {os.readlink(f) for p in tree(running.process.pid) for f in Path(f"/proc/{p}/fd").glob("*") if f.exists()}
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"]
    reachable = [row[1] for row in listening if f"socket:[{row[9]}]" in sockets]
    assert all(address.startswith("0100007F:") for address in reachable), reachable


def test_what_generates_dies_and_its_adapters_come_back(running, adapters):
    running.load("one", adapters / "1")
    before = text(running.model("tuned", "one"))
    inner = tree(running.process.pid)[-1]

    async def broken():
        stream = running.model("tuned", "one").stream(ask("Count to a thousand.", 400))
        assert isinstance(await anext(stream), Delta)
        os.kill(inner, signal.SIGKILL)
        with pytest.raises(BackendError):
            async for _ in stream:
                pass

    asyncio.run(broken())
    assert text(running.model("tuned", "one")) == before  # what had not begun waits, and is repeated
    assert not Path(f"/proc/{inner}").exists()


def test_it_ends_with_its_parent(plain, vllm):
    code = (
        "import sys, time; from pathlib import Path; from inhouse.config.sections import Model\n"
        "from inhouse.models.engines import Installed; from inhouse.models.vllm import VllmEngine\n"
        "engine = VllmEngine(Path(sys.argv[1]), Model(context_tokens=256, parallel=1), Installed(Path(sys.argv[2]), '', False))\n"
        "from inhouse.models.supervised import tree\n"
        "print(*tree(engine.process.pid), flush=True); time.sleep(600)"
    )
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, plain, vllm.folder], stdout=subprocess.PIPE, text=True, env=variables
    )
    with parent:
        pids = parent.stdout.readline().split()
        parent.kill()
    assert len(pids) > 2
    until = time.monotonic() + 30
    while (alive := [p for p in pids if Path(f"/proc/{p}").exists()]) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive == []


def test_a_damaged_folder_is_refused(plain, vllm, tmp_path):
    for file in plain.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="vLLM cannot serve it"):
        VllmEngine(tmp_path, SMALL, vllm)


def test_biases_are_in_its_range():
    assert [bias_of(v) for v in (False, -1000, 3.5, 1000)] == [-100, -100, 3.5, 100]


def test_room_for_keys_and_values(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"num_attention_heads": 32, "hidden_size": 4096, "num_hidden_layers": 32, "num_key_value_heads": 8}'
    )
    assert kv_bytes(tmp_path, Model(context_tokens=2048, parallel=4)) == 2 * 2 * 32 * 8 * 128 * 2048 * 4 * 2


@pytest.fixture
def elsewhere(plain, vllm):
    """A server that others run, with a key, and its process group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [vllm.python, "-m", "vllm.entrypoints.openai.api_server", "--model", plain, "--port", str(port), "--host", "127.0.0.1",
               "--served-model-name", "theirs", "--max-model-len", "512", "--enforce-eager", "--enable-lora", "--max-lora-rank", "8",
               "--structured-outputs-config", '{"backend": "guidance"}', "--kv-cache-memory-bytes", "268435456"]  # fmt: skip
    own = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    settings = {**own, **vllm.environment(0), "VLLM_API_KEY": "secret", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
                "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}  # fmt: skip
    server = subprocess.Popen(
        command, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 180
        while time.monotonic() < until:
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield url, server
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_a_server_that_others_run(elsewhere, plain, adapters, monkeypatch):
    url, server = elsewhere
    monkeypatch.setenv("THEIR_KEY", "secret")
    monkeypatch.setattr(supervised, "WAIT_S", 1.0)
    settings = Model(engine="vllm", engine_url=f"{url}/v1", engine_key_env="THEIR_KEY", context_tokens=512)
    place = place_of(settings, Catalog())
    assert place.version == VERSION
    engine = VllmEngine(plain, settings, place)
    try:
        engine.load("one", adapters / "1")
        assert text(engine.model("base")) != text(engine.model("tuned", "one"))
        schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
        asked = ask("Yes or no?", 60, json_schema={**schema, "additionalProperties": False})
        assert set(json.loads(asyncio.run(collect(engine.model("base"), asked)).text)) == {"a"}
        assert engine.trouble == ""
        with pytest.raises(InputError, match="its context has 512 tokens"):
            VllmEngine(plain, settings.model_copy(update={"context_tokens": 4096}), place)
        os.killpg(server.pid, signal.SIGKILL)
        with pytest.raises(RestartingError, match="does not answer|stopped"):
            text(engine.model("base"))
        assert engine.trouble
    finally:
        engine.close()
