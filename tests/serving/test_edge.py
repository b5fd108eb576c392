"""Folders for devices: what is in them, and new releases by pull, which attacks and breaks leave as they were.

The artifacts are real folders with made-up contents; the models, signatures, and file servers are real."""

import functools
import http.server
import json
import shutil
import socket
import threading
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inhouse.assembly.workspace import Workspace
from inhouse.cli.main import app
from inhouse.cli.options import workspace_of
from inhouse.config.gateway import Edge
from inhouse.config.load import load_project
from inhouse.errors import BackendError, ConfigError, GateError, InputError
from inhouse.models.catalog import Catalog
from inhouse.monitoring.retests import Retest
from inhouse.serving.edge import EDGE_FILE, TRUST_FILE, Shipment, export_edge
from inhouse.serving.open import settings_of
from inhouse.serving.pins import check
from inhouse.serving.reindex import Fresh, release_over
from inhouse.serving.releases import MEASURED, Releases, label
from inhouse.serving.rounds import Round, exchange, rounds
from inhouse.serving.sync import Folder, adopt, source_of, sync
from inhouse.store.audit import Audit
from inhouse.store.signing import Envelope, sign, signing_key
from inhouse.types import Estimate, digest_of
from inhouse.verdict import ArmResult, Gain, Parity, Percentiles, Recommendation, Report, Subject

SECRET = "What a customer once asked"


def write_release(workspace, weights="one"):
    """A verdict over made-up artifacts, and its release of the arm rag."""
    store = workspace.store

    def make(kind, parents=(), **files):
        def build(work: Path):
            for name, text in files.items():
                (work / name.replace("_", ".")).write_text(text)
            return {"languages": {"en": 9}}

        return store.make(kind, {"of": kind, "files": digest_of(files)}, parents, build)

    documents = make("documents", documents_jsonl="{}", report_json=SECRET)
    data = make("dataset", [documents], train_jsonl=SECRET, test_jsonl=SECRET)
    parents = [make("weights", model_gguf=f"GGUF{weights}" * 50_000), make("index", [documents], index_json="{}"),
               make("fusion", fusion_json="{}"), data]  # fmt: skip
    low = Estimate(mean=0.2, low=0.1, high=0.3, n=40)
    ms = Percentiles(p50=1, p95=2, p99=3)
    arm = ArmResult(metrics={"accuracy": low, "wrong": low}, latency_ms=ms, first_token_ms=ms, prompt_tokens=1, answer_tokens=1,
                    usd_per_1000=0, seconds=1, failed=0)  # fmt: skip
    report = Report(
        subject=Subject(project="bank", base_model="b", parity=Parity(passed=True)), questions=40, arms={"base": arm, "rag": arm},
        gains=(Gain(arm="rag", over="base", metrics={"accuracy": low, "unsupported": low}),),
        recommendation=Recommendation(arm="rag", sentence="Use rag."),
    )  # fmt: skip

    def build(work: Path):
        (work / "report.json").write_text(report.model_dump_json())
        (work / "few_shot.jsonl").write_text(SECRET)
        return {"recommended": "rag"}

    settings = {s: getattr(workspace.project, s).model_dump(mode="json") for s in MEASURED[1:]}
    store.make("report", {"name": workspace.project.name, **settings, "weights": weights}, parents, build)
    return Releases(workspace).make()


@pytest.fixture(scope="module")
def site(tmp_path_factory, models_dir):
    """The workspace of a house."""
    root = tmp_path_factory.mktemp("house")
    (root / "inhouse.toml").write_text('name = "The Bank"\n')
    gate = {"guardrails.rails": "[]", "release.max_wrong": "1", "release.no_worse": "[]"}
    return Workspace(load_project(root, gate), Catalog(models_dir.parent))


@pytest.fixture(scope="module")
def exported(site, tmp_path_factory):
    """The folders of two releases."""
    folder = tmp_path_factory.mktemp("exported")
    for name in ("one", "two"):
        export_edge(site, write_release(site, name), folder / name)
    return folder


@pytest.fixture
def device(exported, tmp_path):
    """A copy of the first folder, with its release in production."""
    shutil.copytree(exported / "one", tmp_path / "device")
    workspace = workspace_of(tmp_path / "device", None, True)
    adopt(workspace)
    assert production(workspace) == "the-bank/1"
    return workspace


@pytest.fixture
def offered(exported, tmp_path):
    """A copy of the second folder, to be changed."""
    return Path(shutil.copytree(exported / "two", tmp_path / "offered"))


@pytest.fixture
def website():
    """website(folder, handler) -> URL of a file server over a folder."""
    servers = []

    def start(folder, handler=http.server.SimpleHTTPRequestHandler):
        class Quiet(handler):
            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def dead_port():
    """A port of this machine where nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def production(workspace):
    return Releases(workspace).serving().production


def weights_in(folder):
    [file] = Path(folder).glob("store/artifacts/weights/*/model.gguf")
    return file


def rewritten(folder, key, **changes):
    """Signs the folder's list again, with changes."""
    envelope = Envelope.read((folder / EDGE_FILE).read_bytes(), "")
    shipment = Shipment.model_validate_json(envelope.signed).model_copy(update=changes)
    (folder / EDGE_FILE).write_text(sign(key, shipment.model_dump_json()).model_dump_json())


# --- the folder -------------------------------------------------------------------------------------------------


def test_it_has_what_answers_need_and_no_conversation(exported):
    folder = exported / "one"
    names = {str(f.relative_to(folder)).rpartition("/")[2] for f in folder.rglob("*") if f.is_file()}
    assert {
        "model.gguf",
        "index.json",
        "fusion.json",
        "documents.jsonl",
        "model.onnx",
        "inhouse.toml",
        "edge.json",
    } <= names
    assert not {"train.jsonl", "test.jsonl", "few_shot.jsonl", "report.json"} & names
    for file in folder.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_the_pins_hold_there(device):
    release = Releases(device).get("production")
    found = check(device, release, settings_of(device, release), device.store.sums(full=True))
    assert [c.problem for c in found if c.problem] == []
    assert all(c.verified for c in found)
    file = weights_in(device.project.root)
    file.write_bytes(file.read_bytes() + b"x")
    found = check(device, release, settings_of(device, release), device.store.sums(full=True))
    assert [c.problem for c in found if c.problem] == [f"{file}: was changed"]


def test_what_is_served_is_recorded(device):
    assert Releases(device).altered() == ""
    with device.ledger() as ledger:
        assert [a.what for a in Audit(ledger).actions()] == ["release promoted", "release received"]
        assert Audit(ledger).verify().ok


def test_the_key_of_the_house_is_private(site, exported):
    file = site.store.root / "signing.key"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(BackendError, match="other users may read it"):
        signing_key(site.store.root)
    file.chmod(0o600)


def test_other_folders_are_left_alone(site, exported, tmp_path):
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty, and no export of this project"):
        export_edge(site, Releases(site).get("1"), tmp_path)
    assert (tmp_path / "letters.txt").read_text() == "mine"


def test_a_folder_is_brought_up_to_date(site, exported, tmp_path):
    folder = Path(shutil.copytree(exported / "one", tmp_path / "published"))
    (folder / "inhouse.toml").write_text("mine")
    first = weights_in(folder)
    export_edge(site, Releases(site).get("2"), folder)
    assert weights_in(folder).read_text().startswith("GGUFtwo")
    assert not first.exists()
    assert (folder / "inhouse.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("setting", "error"),
    [("topic", "reads the training data"), ("nemo", "may need more than the folder has")],
)
def test_rails_that_need_more_are_refused(site, exported, tmp_path, setting, error):
    release = Releases(site).get("1")
    settings = {**release.settings, "guardrails": {**release.settings["guardrails"], "rails": [setting]}}
    with pytest.raises(ConfigError, match=error):
        export_edge(site, release.model_copy(update={"settings": settings}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- new releases -----------------------------------------------------------------------------------------------


def test_a_new_release_is_fetched_and_served(device, offered):
    done = sync(device, Folder(offered))
    assert (done.release, done.changed) == ("the-bank/2", True)
    assert done.bytes < 2 << 20  # the models are there
    assert production(device) == "the-bank/2"
    assert Releases(device).altered() == ""
    assert not sync(device, Folder(offered)).changed
    assert Releases(device).rollback().production == "the-bank/1"
    release = Releases(device).get("1")
    assert not [
        c for c in check(device, release, settings_of(device, release), device.store.sums(full=True)) if c.problem
    ]


def test_it_is_fetched_from_a_file_server(device, offered, website):
    assert sync(device, source_of(website(offered))).release == "the-bank/2"
    assert production(device) == "the-bank/2"


def refused(device, offered, error, match):
    with pytest.raises(error, match=match):
        sync(device, Folder(offered))
    assert production(device) == "the-bank/1"
    assert weights_in(device.project.root).read_text().startswith("GGUFone")


def test_another_signer_is_refused(device, offered, tmp_path):
    rewritten(offered, signing_key(tmp_path / "attacker"))
    refused(device, offered, GateError, "signed by another key")


def test_another_signer_with_the_key_of_the_house_beside_is_refused(device, offered, tmp_path):
    rewritten(offered, signing_key(tmp_path / "attacker"))
    forged = Envelope.read((offered / EDGE_FILE).read_bytes(), "")
    trusted = (offered / TRUST_FILE).read_text().strip()
    (offered / EDGE_FILE).write_text(forged.model_copy(update={"key": trusted}).model_dump_json())
    refused(device, offered, GateError, "changed after it was signed")


def test_a_changed_list_is_refused(device, offered):
    text = (offered / EDGE_FILE).read_text()
    (offered / EDGE_FILE).write_text(text.replace("the-bank", "the-wank"))
    refused(device, offered, GateError, "changed after it was signed")


@pytest.mark.parametrize("change", [lambda d: d[:-1] + b"x", lambda d: d + b"x"], ids=["changed", "longer"])
def test_a_changed_file_is_refused(device, offered, change):
    file = weights_in(offered)
    file.write_bytes(change(file.read_bytes()))
    refused(device, offered, GateError, "is not the file that was signed")


def test_a_file_that_ends_early_is_continued(device, offered):
    file = weights_in(offered)
    whole = file.read_bytes()
    file.write_bytes(whole[:100_000])
    refused(device, offered, BackendError, "ended early")
    file.write_bytes(b"?" * 100_000 + whole[100_000:])  # the first part is not read again
    done = sync(device, Folder(offered))
    assert done.changed
    assert done.bytes < len(whole) - 90_000
    assert weights_in_of(device, "two").read_bytes() == whole


def weights_in_of(device, text):
    return next(
        f for f in device.project.root.glob("store/artifacts/weights/*/model.gguf") if text in f.read_text()[:9]
    )


def test_a_download_that_breaks_is_continued(device, offered, website):
    size = weights_in(offered).stat().st_size
    asked = []

    class Breaks(http.server.SimpleHTTPRequestHandler):
        """Knows ranges, as file servers do, and breaks the first time."""

        def do_GET(self):
            data = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            broken = self.path.endswith("model.gguf") and not asked
            if self.path.endswith("model.gguf"):
                asked.append(start)
            self.wfile.write(data[start : size // 2] if broken else data[start:])
            self.close_connection = True

    url = website(offered, Breaks)
    with pytest.raises(BackendError):
        sync(device, source_of(url))
    assert production(device) == "the-bank/1"
    assert sync(device, source_of(url)).changed
    assert asked == [0, size // 2]


def test_an_older_release_is_refused(device, exported, offered):
    sync(device, Folder(offered))
    with pytest.raises(GateError, match="the-bank/1, exported .* is older than version 2 here"):
        sync(device, Folder(exported / "one"))
    (device.project.root / EDGE_FILE).unlink()  # what it remembers is not the only thing that counts
    with pytest.raises(GateError, match="older than version 2"):
        sync(device, Folder(exported / "one"))
    assert production(device) == "the-bank/2"
    assert sync(device, Folder(exported / "one"), allow_older=True).release == "the-bank/1"


def test_a_path_that_leads_out_is_refused(device, offered, site, tmp_path):
    shipment = Shipment.model_validate_json(Envelope.read((offered / EDGE_FILE).read_bytes(), "").signed)
    one = next(iter(shipment.files.values()))
    for path in ("../outside", "models/../../outside", "inhouse.toml", "store/serving.json", "/tmp/x", "models//x"):
        rewritten(offered, signing_key(site.store.root), files={**shipment.files, path: one})
        refused(device, offered, InputError, "is not a file of a release")


def test_a_crash_before_the_switch_leaves_the_old_one(device, offered, monkeypatch):
    with monkeypatch.context() as crash:
        crash.setattr(Releases, "promote", lambda self, which: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sync(device, Folder(offered))
    assert production(device) == "the-bank/1"
    assert Releases(device).altered() == ""
    assert sync(device, Folder(offered)).release == "the-bank/2"


def test_a_damaged_first_copy_is_not_served(exported, tmp_path):
    shutil.copytree(exported / "one", tmp_path / "device")
    file = weights_in(tmp_path / "device")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(GateError, match="is not the file that was signed"):
        adopt(workspace_of(tmp_path / "device", None, True))


def test_a_source_without_a_release_is_named(device, tmp_path, website):
    with pytest.raises(InputError, match="not there"):
        sync(device, Folder(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="not there"):
        sync(device, source_of(website(tmp_path)))
    with pytest.raises(ConfigError, match=r"edge\.source"):
        source_of("")
    (tmp_path / EDGE_FILE).write_text(json.dumps({"signed": 3}))
    with pytest.raises(InputError, match="not a signed release"):
        sync(device, Folder(tmp_path))


def test_a_release_of_the_house_is_named_as_there(device, site):
    assert label(Releases(device).get("production")) == label(Releases(site).get("1"))
    assert Releases(device).get("1") == Releases(site).get("1")


def test_a_release_over_a_new_index_is_exported_with_its_own_documents(site, tmp_path):
    """And a device takes it: what tested it there is its manifest alone."""
    store, before = site.store, write_release(site, "one")

    def made(kind, parents, **files):
        def build(work: Path):
            for name, text in files.items():
                (work / name.replace("_", ".")).write_text(text)
            return {"languages": {"en": 9}}

        return store.make(kind, {"of": kind, "files": digest_of(files)}, parents, build)

    documents = made("documents", [], documents_jsonl='{"new": 1}')
    index = made("index", [documents], index_json='{"new": 1}')
    verdict = store.open("report", before.report)
    retest = Retest(before="the-bank/1", after="the new index")
    test = made("retest", [documents, index, verdict], retest_json=retest.model_dump_json())
    releases = Releases(site)
    release = release_over(releases, before, Fresh(index, test, retest, retest.rules()))
    export_edge(site, release, tmp_path / "device")
    held = {f.parent.name for f in (tmp_path / "device").glob("store/artifacts/documents/*/documents.jsonl")}
    assert held == {documents.key}
    assert not list((tmp_path / "device").glob("store/artifacts/retest/*/retest.json"))  # it has test questions
    workspace = workspace_of(tmp_path / "device", None, True)
    adopt(workspace)
    assert production(workspace) == label(release)
    assert not [c for c in Releases(workspace).verify("production") if c.problem and c.path]


# --- rounds -----------------------------------------------------------------------------------------------------


def test_a_main_server_that_is_down_keeps_no_release_away(device, offered, dead_port):
    settings = Edge(house=f"http://127.0.0.1:{dead_port}", source=str(offered))
    done = exchange(device, settings, "secret")
    assert done.sent is None
    assert done.release.changed
    assert production(device) == "the-bank/2"
    [error] = done.failed
    assert isinstance(error, BackendError)
    assert "nothing is lost" in error.hint


def test_a_source_that_is_down_changes_nothing(device, dead_port):
    done = exchange(device, Edge(source=f"http://127.0.0.1:{dead_port}/files"), "")
    assert (done.sent, done.release) == (None, None)
    assert isinstance(done.failed[0], BackendError)
    assert production(device) == "the-bank/1"


def test_the_command_installs_the_release_and_says_what_failed(device, offered, dead_port, monkeypatch):
    monkeypatch.setenv("INHOUSE_EDGE_KEY", "secret")
    arguments = ["edge", "sync", "--from", str(offered), "--to", f"http://127.0.0.1:{dead_port}", "--json",
                 "--project", str(device.project.root)]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BackendError)
    said = json.loads(result.stdout)
    assert said["release"]["release"] == "the-bank/2"
    assert len(said["failed"]) == 1
    assert production(device) == "the-bank/2"


def test_a_round_that_failed_is_repeated_sooner():
    failed, fine = Round(None, None, (BackendError("down"),)), Round(None, None, ())
    outcomes, slept = iter([fine, failed, failed, failed, fine, fine]), []
    seen = list(islice(rounds(lambda: next(outcomes), 100, slept.append), 6))
    assert [bool(done.failed) for done in seen] == [False, True, True, True, False, False]
    assert slept == [100, 30, 60, 100, 100]
    assert len(list(rounds(lambda: failed, 0, slept.append))) == 1
