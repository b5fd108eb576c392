"""One recipe, trained in several places: adapters whose parity gate passes. The launcher and the API are on loopback."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.errors import ConfigError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages

PROGRAMS = Path(__file__).parents[1] / "training"
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def folder(write_project, tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture
def trained(folder, models_dir):
    """The custom model of a project whose training has these settings, and its parity."""

    def made(**settings):
        overrides = {f"training.{key.replace('__', '.')}": json.dumps(value) for key, value in settings.items()}
        workspace = Workspace(load_project(folder, overrides), Catalog(models_dir.parent))
        return stages.train(workspace), stages.parity(workspace)

    return made


@pytest.fixture
def api(trained):
    """A fine-tuning API that gives the weights that a local training made."""
    program = [sys.executable, PROGRAMS / "fine_tuning_api.py"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        url = f"http://127.0.0.1:{int(child.stdout.readline())}"
        local, _ = trained()
        data = json.dumps({"adapter": f"{local.path}/adapter"}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{url}/control", data)).close()
        yield url
        child.stdin.close()


def test_adapters_from_everywhere_pass_the_parity_gate(trained, api, tmp_path):
    queue = tmp_path / "queue"
    queue.mkdir()
    slurm = PROGRAMS / "fake_slurm"
    run = f"env PYTHONPATH={':'.join(p for p in sys.path if p)} {sys.executable} -m inhouse.training.parcel"
    places = {
        "local": {},
        "torchrun": {"processes": 2, "poll_s": 0.1},
        "command": {
            "poll_s": 0.1, "command__submit": f"{slurm} submit {queue} {{key}} {run} {{job}} {{out}}",
            "command__find": f"{slurm} find {queue} {{key}}", "command__poll": f"{slurm} state {queue} {{id}}",
        },
        "hosted": {
            "poll_s": 0.05, "max_minutes": 0, "hosted__url": f"{api}/together", "hosted__provider": "together",
            "hosted__model": "theirs",
        },
    }  # fmt: skip
    keys = set()
    for name, settings in places.items():
        custom, parity = trained(**({"backend": name} | settings if settings else {}))
        assert parity.facts["passed"], f"{name}: {parity.facts['moved']}"
        assert (Path(custom.path) / "model.gguf").is_file()
        assert custom.facts.get("backend", {"name": "local"})["name"] == name
        assert (Path(custom.path) / "submission.json").is_file() == (name != "local")
        keys.add(custom.key)
    assert len(keys) == 4


def test_a_setting_of_the_project_size_that_a_service_cannot_honor_is_named(trained):
    with pytest.raises(ConfigError, match=r"cannot honor training\.max_minutes = 8"):
        trained(backend="hosted", hosted__url="http://127.0.0.1:9", hosted__model="m", max_minutes=8)
