"""APIs that train, on loopback."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from jobs import NAMES

from inhouse.training import api as api_of_jobs
from inhouse.training import hosted

HERE = Path(__file__).parent


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(api_of_jobs, "PAUSE_S", 0.01)
    monkeypatch.setattr(hosted, "SETTLE_S", 0.05)


@pytest.fixture(scope="module")
def server():
    program = [sys.executable, HERE / "fine_tuning_api.py"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        child.stdin.close()


@pytest.fixture
def api(server, tmp_path, quick):
    """Talks to the server's other side; the weights that it gives are `tmp_path/theirs`."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / NAMES[0]).write_text('{"r": 4, "base_model_name_or_path": "theirs/model"}')
    (theirs / NAMES[1]).write_bytes(os.urandom(5000))

    def control(**values):
        data = json.dumps(values).encode() if values else None
        with urllib.request.urlopen(urllib.request.Request(f"{server}/control", data)) as answer:
            return json.load(answer)

    control(clear=True, faults=[], adapter=str(theirs))
    return control
