"""vLLM as an engine: a supervised process over a Hugging Face folder, or a server that runs elsewhere.

One engine has one base model; LoRA adapters are loaded and unloaded by name while it runs, so releases, canaries, and
arms share it. Its scheduler answers requests together, and its prefix cache is salted by the scope of a request, so
that nobody learns from its speed what others asked.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import httpx

from inhouse.chat import ChatRequest
from inhouse.config.sections import Model
from inhouse.errors import BackendError, InputError
from inhouse.models.engine import Engine, EngineModel
from inhouse.models.engines import Elsewhere, Installed
from inhouse.models.openai import certificates
from inhouse.models.remote import Remote
from inhouse.models.supervised import SLOW_S, Supervised
from inhouse.schema import grammar

BASE = "base"  # what the server calls the base model
MOST_GROWTH_MB = 4_000  # of the engine beyond what it needs when it starts
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM takes
KEPT_PROMPTS = 2  # room in the key-value cache, in full contexts for each conversation: the rest holds prefixes
ADAPTERS_AT_ONCE = 4  # in one batch
LEAST_KV_MB = 256
LOAD_S = 120.0
MOST_BIAS = 100


class VllmEngine(Engine):
    """vLLM over a folder with safetensors.

    Args:
        folder: the model, with its tokenizer and chat template.
        settings: context tokens per conversation, parallel conversations, threads.
        place: where vLLM is installed, or a server that others run, which serves the same folder.
        rank: `rank_of` the largest adapter that will be loaded; 0 for none, which is faster.

    Raises:
        InputError: vLLM cannot serve the folder.
    """

    def __init__(self, folder: Path, settings: Model, place: Installed | Elsewhere, rank: int = 0) -> None:
        super().__init__()
        self.rank, self.context_tokens = rank, settings.context_tokens
        self.base = BASE
        self._adapters: dict[str, str] = {}  # folders by name
        self._loading = threading.Lock()
        self._place = ""
        if isinstance(place, Elsewhere):
            self._join(place, settings)
        else:
            self._start(folder, settings, place)

    def _join(self, place: Elsewhere, settings: Model) -> None:
        self.api_key, self.certificates = place.key, certificates()
        try:
            with self.client(place.url, LOAD_S) as client:
                models = client.get("/v1/models").raise_for_status().json()["data"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            hint = "check model.engine_url and model.engine_key_env"
            raise BackendError(f"{place.url}: does not list its models ({type(error).__name__})", hint) from error
        served = next(m for m in models if not m.get("parent"))
        if served["max_model_len"] < settings.context_tokens:
            what = f"{place.url}: its context has {served['max_model_len']} tokens"
            raise InputError(what, "start it with --max-model-len, or lower model.context_tokens")
        self.base = served["id"]
        self._adapters = {m["id"]: m.get("root") or "" for m in models if m.get("parent")}
        self.process = Remote(place.url, "vLLM", self._probe)

    def _start(self, folder: Path, settings: Model, installed: Installed) -> None:
        self._place = tempfile.mkdtemp(prefix="inhouse-vllm-")  # only this user can open it
        self.socket = f"{self._place}/socket"
        job = {
            "python": str(installed.python), "folder": str(folder), "name": BASE, "socket": self.socket,
            "context_tokens": settings.context_tokens, "parallel": settings.parallel, "rank": self.rank,
            "adapters_at_once": ADAPTERS_AT_ONCE, "api_key": self.api_key, "dtype": dtype_of(folder),
            "kv_bytes": 0 if installed.cuda else kv_bytes(folder, settings),
            "environment": installed.environment(settings.threads),
        }  # fmt: skip
        try:
            self.process = Supervised(
                "inhouse.models.vllm_server",
                job,
                "vLLM",
                self._probe,
                MOST_GROWTH_MB,
                group=True,
                started=self._restored,
            )
        except BaseException:
            shutil.rmtree(self._place, ignore_errors=True)
            raise

    def model(self, name: str, adapter: str = "") -> VllmModel:
        """The engine as a ChatModel, with one of its loaded adapters or none."""
        return VllmModel(name, self, adapter or self.base)

    def load(self, name: str, folder: Path) -> None:
        """Loads a PEFT adapter under a name.

        Raises:
            InputError: vLLM does not take it.
        """
        with self._loading:
            if name not in self._adapters:
                with self.client(self.url, LOAD_S) as client:
                    _load(client, name, str(folder))
                self._adapters[name] = str(folder)

    def unload(self, name: str) -> None:
        """Forgets an adapter; one that is not loaded is no error."""
        with self._loading:
            if self._adapters.pop(name, None) is not None and not self.trouble:
                with self.client(self.url, LOAD_S) as client:
                    client.post("/v1/unload_lora_adapter", json={"lora_name": name})

    def close(self) -> None:
        super().close()
        if self._place:
            shutil.rmtree(self._place, ignore_errors=True)

    def _restored(self, url: str) -> None:
        """Loads the adapters again into a process that was restarted."""
        with self.client(url, LOAD_S) as client:
            for name, folder in self._adapters.items():
                _load(client, name, folder)

    def _probe(self, url: str, timeout_s: float) -> None:
        """Asks whether the engine's process lives, and where nothing was heard for a while, for a token: what receives
        requests may answer while what generates is stuck."""
        with self.client(url, timeout_s) as client:
            client.get("/health").raise_for_status()
            if self.process.quiet_s > SLOW_S / 2 and self.process.running:
                client.post(
                    "/v1/completions", json={"model": self.base, "prompt": [0], "max_tokens": 1}
                ).raise_for_status()


class VllmModel(EngineModel):
    told_of_death = True  # what takes requests outlives for a moment what generates

    def __init__(self, name: str, engine: VllmEngine, served: str) -> None:
        super().__init__(name, engine)
        self._key, self._served, self._most = engine.api_key, served, engine.context_tokens

    def body(self, request: ChatRequest) -> dict[str, Any]:
        bias = {str(t): bias_of(v) for t, v in (request.extra.get("logit_bias") or {}).items()}
        salt = hashlib.sha256(f"{self._key}:{request.scope}".encode()).hexdigest()
        body = super().body(request) | {"model": self._served, "cache_salt": salt}
        body["max_tokens"] = min(body["max_tokens"], self._most)  # more is an error
        if bias:
            body["logit_bias"] = bias
        if request.json_schema is not None:
            body["structured_outputs"] = {"grammar": grammar(request.json_schema)}
        return body


class Adapted:
    """One adapter of a shared engine, unloaded when it is closed."""

    def __init__(self, engine: VllmEngine, name: str, folder: Path) -> None:
        engine.load(name, folder)
        self._engine, self._name = engine, name

    @property
    def trouble(self) -> str:
        return self._engine.trouble

    def model(self, name: str) -> VllmModel:
        return self._engine.model(name, self._name)

    def close(self) -> None:
        self._engine.unload(self._name)


def dtype_of(folder: Path) -> str:
    """The precision of the folder's weights, as vLLM calls it."""
    config = _config(folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "auto")


def rank_of(adapter: Path) -> int:
    """The rank that vLLM needs for a LoRA adapter that PEFT wrote; 0 where there is no adapter."""
    file = adapter / "adapter_config.json"
    rank = int(json.loads(file.read_text(encoding="utf-8"))["r"]) if file.is_file() else 0
    return next(n for n in (0, *RANKS) if n >= rank)


def kv_bytes(folder: Path, settings: Model) -> int:
    """Room for the keys and values of all conversations at their longest, and of prefixes kept for later."""
    config = _config(folder)
    heads = int(config["num_attention_heads"])
    size = int(config.get("head_dim") or config["hidden_size"] // heads)
    token = 2 * 2 * int(config["num_hidden_layers"]) * int(config.get("num_key_value_heads") or heads) * size
    wanted = token * settings.context_tokens * settings.parallel * KEPT_PROMPTS
    return max(wanted, LEAST_KV_MB * 2**20)


def bias_of(value: Any) -> float:
    """A bias of llama.cpp or OpenAI in vLLM's range: False bans a token."""
    return -MOST_BIAS if value is False else max(-MOST_BIAS, min(MOST_BIAS, float(value)))


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error})", "give a folder of Hugging Face's format") from error


def _load(client: httpx.Client, name: str, folder: str) -> None:
    try:
        answer = client.post("/v1/load_lora_adapter", json={"lora_name": name, "lora_path": folder})
    except httpx.HTTPError as error:
        raise BackendError(f"vLLM did not load the adapter {folder} ({type(error).__name__})", "try again") from error
    if answer.status_code != httpx.codes.OK:
        said = answer.text[:300]
        raise InputError(f"{folder}: vLLM cannot load this adapter: {said}", "run `inhouse train` to recreate it")
