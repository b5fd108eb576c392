"""The child process of the embedded engine: llama.cpp's server, through `xllamacpp`."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from inhouse.errors import InputError
from inhouse.process import Events

BATCH = 512  # prompt tokens between two looks at what else is to do


def work(job: dict[str, Any], events: Events) -> None:
    """Serves until the parent is gone.

    Raises:
        InputError: llama.cpp cannot load the weights.
    """
    import xllamacpp

    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # sent to the whole group when a service stops; the parent drains first
    params = xllamacpp.CommonParams()
    params.model.path = job["weights"]
    params.model_alias = {job["name"]}
    params.n_parallel = job["parallel"]
    params.n_ctx = job["context_tokens"] * job["parallel"]
    params.n_batch = BATCH
    params.n_threads_http = 2 * job["parallel"] + 8
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = job["threads"]
    # The store of prompts that left their slots knows neither adapters nor whose prompts they are.
    params.cache_ram_mib = 0
    params.warmup = False
    params.verbosity = -1
    params.use_jinja = True
    params.api_keys = [job["api_key"]]
    params.cors_origins = "null"
    params.ui = params.endpoint_slots = params.endpoint_props = False
    params.endpoint_metrics = True  # answered by the loop that generates, so it tells whether that is stuck
    if job["adapters"]:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(a, 1.0) for a in job["adapters"]]
        params.lora_init_without_apply = True
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        hint = "damaged or of an unsupported architecture; to replace it, delete it and run `inhouse models pull`"
        raise InputError(f"{job['weights']}: llama.cpp cannot load this file", hint) from error
    _silence()
    events.send(ready={"url": server.listening_address})
    threading.Event().wait()


def _silence() -> None:
    """llama.cpp writes grammars and warnings, which quote what callers sent, to standard error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
