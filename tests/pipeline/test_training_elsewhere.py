"""One recipe, trained in several places: adapters whose parity gate passes. The launcher and the API are on loopback;
tests/training/test_ray.py trains on a Ray cluster."""

from pathlib import Path

import pytest
from one_recipe import FAULTS, LOSSES, places, service
from one_recipe import trained as trained_with

from inhouse.errors import ConfigError

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def folder(write_project, tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture
def trained(folder, models_dir):
    return lambda settings: trained_with(folder, models_dir.parent, settings)


def test_adapters_from_everywhere_pass_the_parity_gate(trained, tmp_path):
    queue = tmp_path / "queue"
    queue.mkdir()
    made = {}
    with service() as (url, control):
        for name, settings in places(queue, url).items():
            custom, parity = trained(settings)
            assert parity.facts["passed"], f"{name}: {parity.facts['moved']}"
            assert (Path(custom.path) / "model.gguf").is_file()
            assert custom.facts.get("backend", {"name": "local"})["name"] == settings.get("backend", "local")
            assert (Path(custom.path) / "submission.json").is_file() == (name != "local")
            if name == "local":  # the service gives the weights that it made
                control(adapter=f"{custom.path}/adapter", faults=FAULTS)
            made[name] = custom
        assert len(control()["jobs"]) == 1
    assert len({custom.key for custom in made.values()}) == len(made) == 5
    for name in set(made) - {"local", "hosted"}:
        assert [made[name].facts[k] for k in LOSSES] == pytest.approx(
            [made["local"].facts[k] for k in LOSSES], rel=1e-4
        )


def test_a_setting_of_the_project_size_that_a_service_cannot_honor_is_named(trained):
    settings = {"backend": "hosted", "hosted.url": "http://127.0.0.1:9", "hosted.model": "m", "max_minutes": 8}
    with pytest.raises(ConfigError, match=r"cannot honor training\.max_minutes = 8"):
        trained(settings)
