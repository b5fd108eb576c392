"""The child process that starts vLLM in its separate environment (engines.py) and reports when it is ready.

This process and vLLM's make one process group, so that they end together. vLLM listens on a Unix socket in a folder
that only this user can open: its API key would leave some paths open to every local program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, Any

import httpx

from inhouse.errors import InputError
from inhouse.process import Events

ASK_S = 0.2  # between two looks at whether it answers
TOLD_LINES = 40
BLOCK_TOKENS = 32
MOST_LOGPROBS = 128  # alternatives of a token, which the parity gate asks for
SWITCHES = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    "VLLM_HOST_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo",  # or it asks the system for a way to 8.8.8.8
    "VLLM_LOGGING_LEVEL": "WARNING", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
}  # fmt: skip
OWN = ("PYTHONPATH", "PYTHONHOME", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # not for vLLM


def work(job: dict[str, Any], events: Events) -> None:
    """Serves until the parent is gone.

    Raises:
        InputError: vLLM does not start; the message has its last line.
    """
    Path(job["socket"]).unlink(missing_ok=True)
    child = subprocess.Popen(
        command(job), env=environment(job), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent drains first
    told: deque[str] = deque(maxlen=TOLD_LINES)
    assert child.stdout is not None
    threading.Thread(target=_drain, args=(child.stdout, told), daemon=True).start()
    transport = httpx.HTTPTransport(uds=job["socket"])
    with httpx.Client(transport=transport, timeout=5, base_url="http://vllm") as client:
        while child.poll() is None and not _answers(client):
            time.sleep(ASK_S)
    if child.poll() is not None:
        hint = "the folder may be damaged, of an architecture that vLLM does not know, or too large for the memory"
        raise InputError(f"{job['folder']}: vLLM cannot serve it: {_reason(list(told))}", hint)
    events.send(ready={"url": "http://vllm"})
    code = child.wait()
    os._exit(code if code > 0 else 1)


def command(job: dict[str, Any]) -> list[str]:
    """The command line of vLLM's server."""
    options = {
        "model": job["folder"], "served-model-name": job["name"], "uds": job["socket"],
        "max-model-len": job["context_tokens"], "max-num-seqs": job["parallel"] + 1,  # one for the probe
        "max-logprobs": MOST_LOGPROBS, "dtype": job["dtype"],
        "generation-config": "vllm", "structured-outputs-config": json.dumps({"backend": "guidance"}),
        "uvicorn-log-level": "warning",
    }  # fmt: skip
    if job["kv_bytes"]:  # on a CPU; blocks of 128 tokens, as vLLM has them by default, share few prefixes
        options |= {"kv-cache-memory-bytes": job["kv_bytes"], "block-size": BLOCK_TOKENS}
    # Compiling makes answers 10 to 17% faster on a CPU and the start 40 s longer, also after a crash (docs/LOG.md).
    flags = ["enforce-eager", "enable-prompt-tokens-details", "disable-log-stats", "disable-uvicorn-access-log",
             "disable-fastapi-docs"]  # fmt: skip
    if job["rank"]:
        flags.append("enable-lora")
        options |= {"max-lora-rank": job["rank"], "max-loras": job["adapters_at_once"], "max-cpu-loras": 16}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [job["python"], "-P", "-m", "vllm.entrypoints.openai.api_server", *words, *(f"--{flag}" for flag in flags)]


def environment(job: dict[str, Any]) -> dict[str, str]:
    """Variables of vLLM: this process's without what is meant for its own Python, and what vLLM reads."""
    kept = {name: value for name, value in os.environ.items() if name not in OWN}
    return kept | SWITCHES | dict(job["environment"]) | {"VLLM_API_KEY": job["api_key"]}


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _drain(out: IO[str], told: deque[str]) -> None:
    """vLLM's messages may quote what callers sent, so they are kept only while it starts."""
    for line in out:
        told.append(line.strip())


def _reason(lines: list[str]) -> str:
    """The last line that names an error."""
    errors = [line for line in lines if "Error" in line]
    return (errors or [line for line in lines if line] or ["no message"])[-1][-300:]
