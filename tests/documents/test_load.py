"""Folders to documents: every file is read, duplicate or failed, and none stops the others."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from inhouse.config.sections import AccessRule, Documents
from inhouse.documents.folder import folder_digest, unread, walk
from inhouse.documents.load import Outcome, load_documents, read_documents
from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.types import Silent


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def load(folder, tmp_path):
    """Loads the folder: the summary, the documents by source, and the report's entries by path."""

    def run(**settings):
        summary = load_documents(folder, Documents(**settings), tmp_path / "cache", tmp_path / "out", Silent())
        documents = {d.source: d for d in read_documents(tmp_path / "out" / "documents.jsonl")}
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        return summary, documents, {entry["path"]: Outcome(**entry) for entry in report["files"]}

    return run


def write(folder, **texts):
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_every_file_is_read_or_fails_with_a_reason(folder, load, files, tmp_path):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    write(
        folder, a__b__deep_md="# Deep\n\nfees", empty_txt="", archive_zip="PK", noending="x", **{"_hidden_md": "# no"}
    )
    (folder / "~$fees.docx").write_bytes(b"lock")
    with (folder / "huge.txt").open("wb") as huge:
        huge.truncate(200_000_000)
    os.mkfifo(folder / "pipe.md")
    summary, documents, report = load()
    good = [
        "a/b/deep.md",
        "cards.html",
        "fees.pdf",
        "handbook.docx",
        "hours.eml",
        "prices.csv",
        "rates.xlsx",
        "start.pptx",
    ]
    assert list(documents) == good
    assert report["printable.pdf"].reason == "same text as fees.pdf"
    assert report["huge.txt"].reason == "too large: 200.0 MB, documents.max_file_mb is 64"
    assert report["pipe.md"].reason == "not a regular file"
    assert report["archive.zip"].reason == ".zip: unpack it and put the files here"
    assert report["rates.xlsx"].reason == "1 hidden sheet skipped"
    assert (summary.read, summary.duplicate, summary.failed) == (8, 1, len(report) - 9)
    assert {failure.path for failure in summary.failures} == set(report) - set(good) - {"printable.pdf"}
    assert all(failure.reason for failure in summary.failures)
    assert set(report) == {p.relative_to(folder).as_posix() for p in folder.rglob("[!.~]*") if not p.is_dir()}
    assert documents["handbook.docx"].title == "Handbook & more"
    assert documents["fees.pdf"].meta["headings"] == ["Fee Guide 2025", "Wire transfers", "Cash", "Loans"]
    meta = documents["a/b/deep.md"].meta
    assert (meta["format"], meta["bytes"]) == ("md", 12)
    assert meta["modified"].endswith("+00:00")


def test_only_files_that_match_are_read(folder, load):
    write(folder, shop__a_md="# A\n\nFirst.", shop__b_md="# B\n\nSecond.", bank__c_md="# C\n\nThird.")
    assert set(load(only=("shop/**",))[1]) == {"shop/a.md", "shop/b.md"}
    whole, part = (folder_digest(folder, Documents(only=only)) for only in ((), ("shop/**",)))
    (folder / "bank" / "c.md").write_text("# C\n\nChanged.")
    assert folder_digest(folder, Documents(only=("shop/**",))) == part
    assert folder_digest(folder, Documents()) != whole
    with pytest.raises(InputError, match=r"no file matches 'vault/\*\*'"):
        load(only=("vault/**",))


def test_links_stay_in_the_folder(folder, load, tmp_path):
    (tmp_path / "secret.md").write_text("# Secret")
    write(folder, a_md="# A\n\ntext", sub__b_md="# B\n\ntext", _data__c_md="# C\n\nmounted")
    links = {
        "out.md": "../secret.md",
        "up": "..",
        "loop": "loop",
        "sub/round": ".",
        "gone.md": "nothing.md",
        "same.md": "a.md",
        "c.md": ".data/c.md",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    _, documents, report = load()
    assert set(documents) == {"a.md", "sub/b.md", "c.md"}
    for outside in ("out.md", "up"):
        assert report[outside].reason == "the link points outside the documents folder"
    assert report["loop"].reason == report["gone.md"].reason == "broken link"
    assert (report["same.md"].status, report["same.md"].reason) == ("duplicate", "link to a.md")
    assert (report["sub/round"].status, report["sub/round"].reason) == ("duplicate", "link to sub")


def test_access_the_deepest_rule_wins_and_copies_in_other_groups_stay(folder, load):
    write(
        folder, a_md="same words", staff__a_md="same words", staff__hr__pay__a_md="same words", staff__b_md="same words"
    )
    (folder / "hr-link").symlink_to("staff/hr")
    rules = (AccessRule(folder="staff", groups=("staff",)), AccessRule(folder="hr-link/", groups=("hr", "board")))
    summary, documents, report = load(access=rules)
    assert {source: set(document.access) for source, document in documents.items()} == {
        "a.md": set(),
        "staff/a.md": {"staff"},
        "staff/hr/pay/a.md": {"hr", "board"},
    }
    assert report["staff/b.md"].reason == "same text as staff/a.md"
    assert summary.duplicate == 2


def test_the_report_says_which_copy_went_and_which_versions_stay(folder, load):
    terms = "The guest pays before arrival. " + " ".join(f"Rule {n} holds for every room." for n in range(30))
    write(
        folder,
        a_2024_md=f"# Terms\n\n{terms}",
        b_2025_md=f"Terms\n---\n\n{terms.upper()}",
        c_md=terms.replace("before", "after"),
    )
    (folder / "a.2024.md").rename(folder / "a_2024.md")
    (folder / "b.2025.md").rename(folder / "b_2025.md")
    summary, documents, report = load()
    assert list(documents) == ["b_2025.md", "c.md"]
    assert (summary.read, summary.duplicate) == (2, 1)
    assert report["a_2024.md"].reason == "same words as b_2025.md, which is newer"
    assert report["c.md"].version_of == "b_2025.md"
    assert 'here "after", there "terms before"' in report["c.md"].reason
    _, documents, report = load(near_duplicate=1)
    assert len(documents) == 3
    assert not any(outcome.reason for outcome in report.values())


@pytest.mark.data
def test_the_case_of_near_duplicates_keeps_all_versions(data_dir, tmp_path):
    case = data_dir.parent / "cases" / "documents" / "near_duplicate_eats_versions"
    if not case.is_dir():
        pytest.skip(f"no case at {case}")
    summary = load_documents(case, Documents(), tmp_path, tmp_path, Silent())
    assert (summary.read, summary.duplicate) == (6, 0)


def test_a_link_to_a_hidden_file_keeps_the_rule_of_the_file(folder, load):
    write(folder, a_md="# A", _vault__c_md="# C\n\nmounted")
    (folder / "c.md").symlink_to(".vault/c.md")
    _, documents, _ = load(access=(AccessRule(folder=".vault", groups=("staff",)),))
    assert documents["c.md"].access == {"staff"}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([("staf", ["x"])], r"documents.access\[0\].folder: 'staf' is not a folder"),
        ([("a.md", ["x"])], "is not a folder"),
        ([("..", ["x"])], "is outside"),
        ([("staff", [])], r"documents.access\[0\].groups: no groups"),
        ([("staff", ["x"]), ("./staff/", ["y"])], r"documents.access\[1\].folder: './staff/' already has a rule"),
    ],
)
def test_a_wrong_rule_is_refused(folder, load, rules, message):
    write(folder, a_md="# A", staff__b_md="# B")
    with pytest.raises(ConfigError, match=message):
        load(access=tuple(AccessRule(folder=name, groups=tuple(groups)) for name, groups in rules))


def test_right_to_left_text_and_emoji_survive_the_way_to_disk(folder, load):
    text = "# שעות פתיחה 👩‍👩‍👧\n\nمی‌خواهم ساعت ۹"
    write(folder, he_md=text)
    _, documents, _ = load()
    assert documents["he.md"].text == text
    assert documents["he.md"].title == "שעות פתיחה 👩‍👩‍👧"


def test_a_large_file_is_read_whole_when_the_limit_allows(folder, load):
    lines = "".join(f"Line {i} of the log says nothing new.\n" for i in range(300_000))
    write(folder, log_txt=lines, note_txt="short note")
    assert load(max_file_mb=1)[2]["log.txt"].reason.startswith("too large: 12.2 MB")
    _, documents, _ = load(max_file_mb=12.2)
    assert documents["log.txt"].text == lines.rstrip()


def test_a_file_name_that_is_not_text(folder, load):
    write(folder, a_md="# A")
    (folder / os.fsdecode(b"caf\xe9.md")).write_text("# Coffee")
    _, documents, _ = load()
    assert documents["caf\\xe9.md"].text == "# Coffee"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser reads everything")
def test_files_without_permission(folder, load):
    write(folder, a_md="# A", b_md="# B", e_csv="a,b", c__d_md="# D")
    (folder / "b.md").chmod(0)
    (folder / "e.csv").chmod(0)
    (folder / "c").chmod(0)
    _, documents, report = load()
    (folder / "c").chmod(0o755)
    assert list(documents) == ["a.md"]
    for path in ("b.md", "c", "e.csv"):
        assert "(Permission denied)" in report[path].reason


def test_nothing_to_read(folder, load, tmp_path):
    with pytest.raises(InputError, match="the folder has no documents") as empty:
        load()
    assert "docx" in empty.value.hint
    write(folder, a_txt="", b_zip="PK")
    with pytest.raises(InputError, match="none of the 2 files could be read") as unreadable:
        load()
    assert "a.txt: empty file" in unreadable.value.hint
    with pytest.raises(InputError, match="no such folder"):
        load_documents(tmp_path / "missing", Documents(), tmp_path, tmp_path, Silent())


def test_parsed_files_come_from_the_cache_until_they_change(folder, load, files, tmp_path):
    (folder / "fees.pdf").write_bytes(files["fees.pdf"])
    _, first, _ = load()
    [entry] = (tmp_path / "cache").iterdir()
    entry.write_text(entry.read_text().replace("Fee Guide 2025", "From the cache"))
    assert load()[1]["fees.pdf"].title == "From the cache"
    entry.write_text(entry.read_text()[:100])
    assert load()[1] == first
    assert load()[1] == first
    (folder / "fees.pdf").write_bytes(files["noise.pdf"])
    with pytest.raises(InputError, match="none of the 1 files"):
        load()


def test_two_runs_write_the_same_bytes(folder, load, files, tmp_path):
    for name in ("rates.xlsx", "handbook.docx", "cards.html", "hours.eml"):
        (folder / name).write_bytes(files[name])
    load()
    written = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    for entry in (tmp_path / "cache").iterdir():
        entry.unlink()
    load()
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == written
    assert set(written) == {"documents.jsonl", "report.json"}


def test_a_killed_run_goes_on_where_it_was(folder, load, files, tmp_path):
    (folder / "a.csv").write_text("a,b\n1,2\n")
    (folder / "b.html").write_text("<p>x <b>y</b></p>" * 300_000)
    program = (
        "import sys; from pathlib import Path; from inhouse.config.sections import Documents; from inhouse.types import Silent;"
        "from inhouse.documents.load import load_documents;"
        "load_documents(*[Path(sys.argv[1]), Documents()], *map(Path, sys.argv[2:]), Silent())"
    )
    run = subprocess.Popen([sys.executable, "-c", program, folder, tmp_path / "cache", tmp_path / "out"])
    while not (tmp_path / "cache").is_dir() or not list((tmp_path / "cache").glob("*.json")):
        time.sleep(0.02)
        assert run.poll() is None
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (tmp_path / "out").exists()
    [entry] = (tmp_path / "cache").glob("*.json")
    before = entry.stat().st_mtime_ns
    (folder / "b.html").write_text("<p>short</p>")
    assert load()[0].read == 2
    assert entry.stat().st_mtime_ns == before


def test_a_folder_that_cannot_be_written(folder, files, tmp_path):
    write(folder, a_md="# A")
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match="cannot be written"):
        load_documents(folder, Documents(), tmp_path / "cache", tmp_path / "file" / "out", Silent())
    (folder / "fees.pdf").write_bytes(files["fees.pdf"])
    with pytest.raises(BackendError, match="cannot be written"):
        load_documents(folder, Documents(), tmp_path / "file", tmp_path / "out", Silent())


def test_read_documents_names_the_bad_line(tmp_path):
    path = tmp_path / "documents.jsonl"
    path.write_text('{"source": "a", "text": "b", "title": "c"}\n{"source": 1}\n')
    with pytest.raises(InputError, match=r"documents.jsonl:2: not a document"):
        read_documents(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_documents(tmp_path / "other.jsonl")


def test_folder_digest_follows_paths_and_bytes_of_what_is_read(folder):
    def digest():
        return folder_digest(folder, Documents(max_file_mb=0.001))

    write(folder, a_md="# A", big_txt="x" * 2000, _hidden="x")
    first = digest()
    os.utime(folder / "a.md", (1, 1))
    (folder / ".hidden").write_text("y")
    (folder / "big.txt").write_text("y" * 2000)
    assert digest() == first
    (folder / "a.md").write_text("# B")
    second = digest()
    (folder / "a.md").rename(folder / "b.md")
    assert len({first, second, digest()}) == 3


@pytest.mark.data
@pytest.mark.parametrize(("name", "count"), [("bank", 698), ("concierge", 143)])
def test_public_documents_are_all_read(data_dir, tmp_path, name, count):
    summary = load_documents(data_dir / name / "documents", Documents(), tmp_path, tmp_path, Silent())
    assert (summary.read, summary.duplicate, summary.failed) == (count, 0, 0)


def test_unread_files_are_known_before_reading(tmp_path):
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99)
    contents = {
        "a.md": b"Text", "b.doc": old, "c.doc": old, "d.doc": b"<html>Text", "e.zip": b"PK", "f.pages": b"x", "g": b"x",
        "h.txt": b"", "i.strange": b"x", "desktop.ini": b"x",
    }  # fmt: skip
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    found = unread(walk(tmp_path, Documents()))
    assert found[0] == (".doc: old Word format: save it as .docx", 2, "b.doc")
    assert [(group.first, group.why) for group in found[1:]] == [
        ("e.zip", ".zip: unpack it and put the files here"),
        ("f.pages", ".pages: export it from Pages as .docx"),
        ("g", "no extension: add the extension of its kind to its name, such as .txt"),
        ("h.txt", "empty file"),
        ("i.strange", ".strange: save it as PDF, .docx, .xlsx, .html, .md or .txt"),
    ]


def test_documents_by_pattern_are_external_and_no_copy_of_a_trusted_one(folder, load):
    write(
        folder,
        fees_md="# Fees\n\nA wire costs $25.",
        web__copy_md="# Fees\n\nA wire costs $25.",
        web__a__b_md="# B\n\nHi",
    )
    _, documents, _ = load(external=["web/**"])
    assert {s: d.trust for s, d in documents.items()} == {
        "fees.md": "trusted", "web/copy.md": "external", "web/a/b.md": "external",
    }  # fmt: skip
    assert load()[1]["fees.md"].trust == "trusted"


@pytest.mark.parametrize("pattern", ["wbe/**", "/web/**"])
def test_a_pattern_of_external_documents_that_names_no_folder_is_refused(folder, load, pattern):
    write(folder, web__a_md="# A\n\nHi")
    with pytest.raises(ConfigError, match=r"documents.external: .* matches no folder") as error:
        load(external=[pattern])
    assert "would be trusted" in error.value.hint
