"""requirements.lock: what `pip install --require-hashes` installs agrees with pyproject.toml and constraints.txt."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(file):
    rows = [line.split(" ")[0].split(";")[0] for line in file.read_text().splitlines() if "==" in line]
    return {normal(name): version for name, version in (row.split("==") for row in rows)}


def test_the_lock_has_every_dependency_with_a_hash_in_the_pinned_version():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    locked, pinned = versions(ROOT / "requirements.lock"), versions(ROOT / "constraints.txt")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {normal(re.match(r"[\w.-]+", one)[0]) for one in needed}
    assert names - locked.keys() == set(), "run `make lock`"
    assert {n for n in locked.keys() & pinned.keys() if locked[n] != pinned[n]} == set(), "run `make lock`"
