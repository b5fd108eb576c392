"""What libraries import beside themselves stays out of memory, and can be imported later."""

import subprocess
import sys

import pytest

from inhouse.models.catalog import Catalog
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.text.hidden import hidden


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_module_is_hidden_only_meanwhile():
    code = """
import sys
from inhouse.text.hidden import hidden
with hidden("json.tool", "wave"):
    try:
        import wave
        print("imported")
    except ImportError:
        print("hidden")
import wave
print("wave" in sys.modules, wave.__name__)
"""
    assert run(code) == "hidden\nTrue wave"


def test_what_is_there_already_stays():
    with hidden("json.tool", "json"):
        import json
    assert json is sys.modules["json"]


@pytest.mark.parametrize("first", ["from inhouse.privacy.names import stop_words; stop_words('de')", "pass"])
def test_finding_names_needs_no_torch(first):
    folder = Catalog().folder / SPACY_MODEL
    code = f"""
import sys
from pathlib import Path
{first}
from inhouse.privacy.anonymize import Anonymizer
print(Anonymizer(Path({str(folder)!r})).entities("I am Dorothea Quux, call me."))
print([name for name in ("torch", "transformers") if name in sys.modules])
import torch
from transformers.utils import is_torch_available
print(torch.__name__, is_torch_available())
"""
    pytest.importorskip("torch")
    entities, heavy, later = run(code).splitlines()
    assert "PERSON" in entities
    assert heavy == "[]"
    assert later == "torch True"
