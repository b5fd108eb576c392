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


def test_an_index_needs_no_pandas():
    pytest.importorskip("pandas")
    code = """
import sys, tempfile
from inhouse.retrieval.index import lancedb
table = lancedb().connect(tempfile.mkdtemp()).create_table("t", [{"text": "a", "vector": [0.0, 1.0]}])
print(table.search([0.0, 1.0]).limit(1).to_arrow().num_rows, "pandas" in sys.modules)
import pandas
print(len(pandas.DataFrame({"a": [1, 2]})))
"""
    assert run(code) == "1 False\n2"


def test_stemming_needs_no_scipy():
    code = """
import sys
from inhouse.text.stemmers import stemmers
print(stemmers().SnowballStemmer("english").stem("running"), "scipy" in sys.modules)
"""
    assert run(code) == "run False"
