"""`inhouse check` says what will not be read before anything runs."""

import itertools
import os
import time

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.config.private import Private
from inhouse.config.sections import Project, Upstream
from inhouse.documents.kinds import OLE
from inhouse.pipeline.check import _documents, _flops, _machine, _private


def test_documents_that_cannot_be_read_are_warned_of(tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    for name, data in {"a.md": b"Text", "b.doc": OLE, "c.doc": OLE, "d.zip": b"PK", "e.rtf": b"{\\rtf1 Text}"}.items():
        (tmp_path / "documents" / name).write_bytes(data)
    project = load_project(tmp_path)
    items, files = _documents(tmp_path / "documents", project.documents)
    assert len(files) == 5
    assert [(item.subject, item.ok, item.warning) for item in items] == [
        ("documents", True, True),
        ("not read", True, True),
        ("not read", True, True),
    ]
    assert items[0].detail.startswith("2 files that can be read, 3 that cannot, ")
    assert items[1].detail == ".doc: old Word format: save it as .docx (2 files such as b.doc)"
    assert items[2].detail == ".zip: unpack it and put the files here (d.zip)"


def test_documents_of_which_none_can_be_read_are_a_problem(tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    project = load_project(tmp_path)
    (tmp_path / "documents").mkdir()
    assert not _documents(tmp_path / "documents", project.documents)[0][0].ok
    (tmp_path / "documents" / "a.zip").write_bytes(b"PK")
    assert not _documents(tmp_path / "documents", project.documents)[0][0].ok


def test_what_may_leave_is_shown_and_a_policy_that_cannot_hold_is_a_problem():
    cloud = Upstream(name="cloud", url="http://127.0.0.1:1/v1")
    table = Private(upstream="cloud", groups={"support": "surrogates"})
    assert _private(Project(upstream=(cloud,))) == []
    (item,) = _private(Project(upstream=(cloud,), private=(table,)))
    assert (item.ok, item.detail) == (True, "cloud: local-only, surrogates for support")
    (item,) = _private(Project(private=(table,)))
    assert not item.ok
    assert "there is no [[upstream]] of this name" in item.detail


def test_time_that_other_programs_take_does_not_count_for_the_estimate(monkeypatch):
    alone = _flops()
    waited = itertools.count(step=3600)  # each look at the clock finds an hour gone
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(waited)))
    assert _flops() > alone / 100


def test_a_busy_machine_is_warned_of(tmp_path, monkeypatch):
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    workspace = Workspace(load_project(tmp_path))
    for load, warned in ((0.3, False), (1000.0, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, load, load))
        cores = next(item for item in _machine(workspace) if item.subject == "cores")
        assert (cores.ok, cores.warning) == (True, warned)
        assert ("load 1000" in cores.detail) == warned
