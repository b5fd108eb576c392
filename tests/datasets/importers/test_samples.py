"""The exports beside the repository: every expected row comes out exactly."""

import json
import shutil
from pathlib import Path

import pytest

from inhouse.datasets.conversations import read_conversations
from inhouse.datasets.importers.registry import recognize
from inhouse.datasets.importers.run import import_files

pytestmark = pytest.mark.data
FOLDERS = {
    "zendesk": "zendesk", "intercom": "intercom", "freshdesk": "freshdesk", "slack": "slack", "teams": "teams",
    "whatsapp": "whatsapp", "mbox": "mbox", "openai": "openai", "azure": "azure_openai", "sharegpt": "sharegpt",
    "alpaca": "alpaca", "gemini": "vertex_gemini", "bedrock": "anthropic_bedrock",
}  # fmt: skip
ROWS = {"openai", "azure", "sharegpt", "alpaca", "gemini", "bedrock"}
STAFF = {"whatsapp": ["Hearth & Crumb Bakery Equipment"], **{k: ["hearthcrumb.example"] for k in ("slack", "mbox")}}
# The file has no message at this minute: what was sent then, by a bot, is not in it.
CORRECTED = {("teams", "1710236340000"): {"time": "2024-03-12T09:39:00Z"}}


@pytest.fixture(params=FOLDERS)
def sample(request, data_dir, tmp_path):
    """The name of a kind, its export without the expected rows, and these."""
    folder = data_dir / "exports" / FOLDERS[request.param]
    if not folder.is_dir():
        pytest.skip(f"no sample exports at {folder}")
    export = tmp_path / "export"
    shutil.copytree(folder, export, ignore=shutil.ignore_patterns("expected.jsonl"))
    expected = [json.loads(line) for line in (folder / "expected.jsonl").read_text().splitlines()]
    return request.param, export, [e | CORRECTED.get((request.param, e["id"]), {}) for e in expected]


def rows_of(summary):
    """All rows that were written, without metadata, and the ids that were left out, by id."""
    found = {left.id: {"id": left.id, "skipped": left.reason} for left in summary.left_out}
    for file in filter(None, (summary.out, summary.preference_out)):
        for line in Path(file).read_text().splitlines():
            row = json.loads(line)
            assert row["id"] not in found
            row.pop("metadata", None)
            found[row["id"]] = row
    return found


@pytest.mark.parametrize("named", [True, False], ids=["staff named", "staff inferred"])
def test_every_row_is_as_expected(sample, tmp_path, named):
    kind, export, expected = sample
    summary = import_files(kind, [export], tmp_path / "out.jsonl", STAFF.get(kind, []) if named else [])
    found = rows_of(summary)
    for row in expected:
        assert found.pop(row["id"]) == row
    assert not found
    assert summary.kind == kind
    examples, rejected = read_conversations([Path(summary.out)], {})
    assert len(examples) + len(rejected) == summary.conversations
    assert all("reply" in r.reason for r in rejected), rejected  # such as a row that ends with a tool call
    assert not rejected or kind in ROWS


def test_the_kind_is_guessed_and_a_wrong_one_corrected(sample, tmp_path):
    kind, export, _ = sample
    guessed = "openai" if kind == "azure" else kind
    for given in ("", "zendesk" if kind == "slack" else "slack"):
        summary = import_files(given, [export], tmp_path / "out.jsonl")
        assert summary.kind == guessed
        assert any(f"imported as {guessed}" in note for note in summary.notes)
    assert recognize(export) == (None if kind in ROWS else kind)
    for file in (f for f in export.rglob("*") if f.suffix != ".md" and f.stat().st_size > 200 and f.is_file()):
        assert recognize(file) == (None if kind in ROWS else kind), file
