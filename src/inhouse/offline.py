"""Switches that keep libraries from calling home. `inhouse/__init__.py` sets them before any library is imported, and
child processes inherit them. tests/test_offline.py watches the system calls of every command and of a server.
"""

from __future__ import annotations

import os

SWITCHES = {
    # ONNX Runtime 1.29 and later send usage events on Linux, and keep a device ID in the user's cache folder.
    "ORT_DISABLE_TELEMETRY": "1",
    # transformers, datasets, and huggingface_hub: nothing is looked up on the Hub. `inhouse models pull` overrides it.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # What other libraries agreed on, also those of plug-ins and benchmarks.
    "DO_NOT_TRACK": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
}


def turn_off_telemetry() -> None:
    """Sets the switches in this process, whatever the user's environment has."""
    os.environ.update(SWITCHES)
