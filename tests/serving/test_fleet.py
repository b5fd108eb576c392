"""Releases of a small project opened, changed under load, and exported: real index, real engine."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from inhouse.assembly.arms import Shared
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, Delta, Finish, Note, collect
from inhouse.cli import releases as commands
from inhouse.config.load import load_project
from inhouse.errors import BackendError, ConfigError, GateError, InputError
from inhouse.files import file_sha256
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages as pipeline
from inhouse.serving.export import export
from inhouse.serving.fleet import Fleet
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases, label
from inhouse.types import Example, Message

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"),
    pytest.mark.slow,
]
ARMS = ("prompt", "rag", "tuned", "tuned+rag")


@pytest.fixture(scope="module")
def folder(built, models_dir, tmp_path_factory):
    """The built project, with a verdict that holds the gate, and a release of each arm."""
    pipeline.build(Workspace(load_project(built), Catalog(models_dir.parent)))
    copy = tmp_path_factory.mktemp("released") / "project"
    shutil.copytree(built, copy)
    workspace = workspace_of(copy, models_dir)
    file = Path(workspace.store.latest("report").path) / "report.json"
    report = json.loads(file.read_text())
    for gain in report["gains"]:
        gain["metrics"]["accuracy"] = {"mean": 0.5, "low": 0.3, "high": 0.7, "n": 5}
        gain["metrics"]["unsupported"] = {"mean": 0.0, "low": -0.1, "high": 0.1, "n": 5}
    file.write_text(json.dumps(report))
    manifest = json.loads((file.parent / "manifest.json").read_text())
    manifest["files"]["report.json"] = {"sha256": file_sha256(file), "bytes": file.stat().st_size}
    (file.parent / "manifest.json").write_text(json.dumps(manifest))
    for arm in ARMS:
        Releases(
            workspace_of(
                copy,
                models_dir,
                **{"release.arm": arm, "release.name": "bot", "guardrails.rails": "[]", "release.max_wrong": "1"},
            )  # fmt: skip
        ).make()
    shutil.copytree(copy, copy.with_name("pristine"))
    return copy


def workspace_of(folder, models_dir, **overrides):
    return Workspace(load_project(folder, overrides), Catalog(models_dir.parent))


@pytest.fixture
def workspace(folder, models_dir):
    (folder / ".inhouse" / "serving.json").unlink(missing_ok=True)
    return workspace_of(folder, models_dir)


def ask(text, user="", tokens=12):
    return ChatRequest(messages=(Message(role="user", content=text),), max_tokens=tokens, user=user)


# --- opening ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ARMS)
async def test_what_was_evaluated_is_what_is_served(workspace, folder, models_dir, arm):
    """Every answer of the verdict again, and from a project file that has other settings since."""
    report = Path(workspace.store.latest("report").path)
    found = [json.loads(line)["answer"] for line in (report / f"answers-{arm}.jsonl").read_text().splitlines()]
    answers = {a["id"]: a["text"] for a in found}
    data = workspace.store.latest("dataset")
    tests = [
        Example.from_openai(json.loads(line)) for line in (Path(data.path) / "test.jsonl").read_text().splitlines()
    ]
    edited = workspace_of(folder, models_dir, **{
        "assistant.instructions": "Say no.", "retrieval.passages": "1", "model.context_tokens": "512"})  # fmt: skip
    release = next(r for r in Releases(edited).all() if r.arm == arm)
    opened = open_release(edited, release)
    try:
        for example in tests:
            reply = await collect(opened.model, ChatRequest(messages=example.messages, max_tokens=12))
            assert reply.text == answers[example.id]
            assert reply.note("release", "served") == {"release": label(release), "arm": arm}
            assert bool(reply.note("grounded", "passages")) == arm.endswith("rag")
    finally:
        opened.close()


@pytest.mark.parametrize(
    ("kind", "arm"), [("weights", "rag"), ("adapter", "tuned"), ("index", "rag"), ("fusion", "tuned+rag")]
)
def test_an_artifact_that_is_gone_is_named(workspace, kind, arm):
    release = next(r for r in Releases(workspace).all() if r.arm == arm)
    place = Path(workspace.store.open(kind, getattr(release, kind)).path)
    place.rename(place.with_suffix(".away"))
    try:
        with pytest.raises(InputError, match=rf"release bot/\d cannot be opened: its {kind} is gone"):
            open_release(workspace, release)
    finally:
        place.with_suffix(".away").rename(place)


def test_a_release_measured_with_other_guardrails_says_so(workspace, caplog):
    release = next(r for r in Releases(workspace).all() if r.arm == "rag")
    open_release(workspace, release).close()
    assert not caplog.messages
    open_release(workspace, release.model_copy(update={"classifiers": "0" * 64})).close()
    assert f"release {label(release)} was measured with guardrails of another version" in caplog.text


def test_what_is_shared_is_made_once_and_closed_with_the_last():
    made, closed = [], []

    class Thing:
        def close(self):
            closed.append(self)

    def make():
        made.append(Thing())
        return made[-1]

    shared = Shared()
    assert shared.take("a", make) is shared.take("a", make)
    shared.take("b", make)
    shared.give_back("a")
    assert (len(made), closed) == (2, [])
    shared.give_back("a")
    assert closed == made[:1]
    shared.give_back("a")  # nothing is left to close
    assert shared.take("a", make) is made[2]


# --- the fleet --------------------------------------------------------------------------------------------------


@pytest.fixture
def fleet(workspace):
    made = Fleet(workspace)
    yield made
    made.close()
    assert not made._opened._open
    assert not made._engines._open


async def settled(fleet):
    for thread in list(fleet._closing):
        await asyncio.to_thread(thread.join)


async def test_names_and_what_they_stand_for(workspace, fleet):
    releases = Releases(workspace)
    with pytest.raises(InputError, match="no release is in production"):
        await fleet.refresh()
    releases.promote("2")
    assert await fleet.refresh()
    assert not await fleet.refresh()
    assert fleet.names() == ["custom", "base", "bot/2"]
    assert not fleet._engines._open.keys() - {k for k in fleet._engines._open if "weights" in str(k)}
    for name, release in {"custom": "bot/2", "bot/2": "bot/2", "base": "base"}.items():
        reply = await collect(fleet.model(name), ask("What does plan 2 cost?"))
        assert reply.note("release", "served")["release"] == release
    assert len(fleet._engines._open) == 1  # the arm rag and base stand on the same weights
    with pytest.raises(InputError, match="there is no such model"):
        fleet.model("bot/9")


async def test_a_request_ends_on_the_release_it_began_with(workspace, fleet):
    releases = Releases(workspace)
    releases.promote("3")
    await fleet.refresh()
    expected = (await collect(fleet.model("custom"), ask("What does plan 2 cost?", tokens=40))).text
    stream = fleet.model("custom").stream(ask("What does plan 2 cost?", tokens=40))
    first = await anext(stream)
    assert first == Note(layer="release", kind="served", data={"release": "bot/3", "arm": "tuned"})
    releases.promote("2")
    assert await fleet.refresh()
    new = await collect(fleet.model("custom"), ask("What does plan 2 cost?"))
    assert new.note("release", "served")["release"] == "bot/2"
    assert len(fleet._engines._open) == 2
    rest = [event async for event in stream]
    assert "".join(e.text for e in rest if isinstance(e, Delta)) == expected
    assert isinstance(rest[-1], Finish)
    await settled(fleet)
    assert len(fleet._engines._open) == 1  # the custom model's engine went with its last request
    with pytest.raises(InputError, match="no such model"):
        fleet.model("bot/3")


async def test_changing_to_and_fro_under_load_breaks_no_answer(workspace, fleet):
    releases = Releases(workspace)
    releases.promote("2")
    await fleet.refresh()
    done = asyncio.Event()
    seen = set()

    async def user(n):
        asked = 0
        while not done.is_set():
            reply = await collect(fleet.model("custom"), ask(f"What does plan {n} cost?", f"u{n}", 4))
            seen.add(reply.note("release", "served")["release"])
            asked += 1
        return asked

    users = [asyncio.create_task(user(n)) for n in range(4)]
    for change in (lambda: releases.promote("4"), lambda: releases.canary(50, "1"), releases.rollback, releases.rollback,
                   lambda: releases.start("x", {"base": 1, "3": 1}), releases.stop):  # fmt: skip
        change()
        await fleet.refresh()
        await asyncio.sleep(0.2)
    done.set()
    assert all(await asyncio.gather(*users))
    await settled(fleet)
    assert seen >= {"bot/2", "bot/4"}
    assert fleet.names() == ["custom", "base", "bot/2"]
    assert fleet._generation.answering == 0


async def test_a_release_that_cannot_be_opened_leaves_the_old_one_serving(workspace, fleet):
    releases = Releases(workspace)
    releases.promote("2")
    await fleet.refresh()
    releases.promote("3")
    place = Path(workspace.store.open("adapter", releases.get("3").adapter).path)
    place.rename(place.with_suffix(".away"))  # noqa: ASYNC240
    try:
        with pytest.raises(InputError, match="its adapter is gone"):
            await fleet.refresh()
        reply = await collect(fleet.model("custom"), ask("What does plan 2 cost?"))
        assert reply.note("release", "served")["release"] == "bot/2"
    finally:
        place.with_suffix(".away").rename(place)
    assert await fleet.refresh()
    assert "bot/3" in fleet.names()


async def test_an_experiment_splits_custom_by_user(workspace, fleet):
    releases = Releases(workspace)
    releases.promote("2")
    releases.start("against base", {"base": 1, "production": 1})
    await fleet.refresh()
    seen = {}
    for n in range(12):
        for _ in range(2):
            reply = await collect(fleet.model("custom"), ask("What does plan 2 cost?", f"u{n}", 2))
            note = reply.note("split", "arm")
            assert note["experiment"] == "against base"
            assert reply.note("release", "served")["release"] == note["arm"]
            assert seen.setdefault(n, note["arm"]) == note["arm"]
    assert set(seen.values()) == {"base", "bot/2"}


# --- export -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(folder, models_dir, tmp_path_factory):
    workspace = workspace_of(folder, models_dir)
    out = tmp_path_factory.mktemp("export")
    (out / "rag").mkdir()  # an empty folder will do
    for arm in ("tuned", "rag"):
        export(workspace, next(r for r in Releases(workspace).all() if r.arm == arm), out / arm)
    export(workspace, next(r for r in Releases(workspace).all() if r.arm == "tuned"), out / "adapter", "adapter")
    return out


def test_the_folder_is_whole_and_checked(exported):
    for folder, model in (("tuned", "model.gguf"), ("rag", "model.gguf"), ("adapter", "adapter.gguf")):
        done = subprocess.run(
            ["sha256sum", "-c", "SHA256SUMS"], cwd=exported / folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{model}: OK" in done.stdout
        card = (exported / folder / "README.md").read_text()
        assert "| **" in card
        assert "must start above +2.0" in card
        assert "None" not in card
        assert not list(exported.glob(".*.partial"))
    assert "passages retrieved for each question" in (exported / "rag" / "README.md").read_text()
    assert "passages retrieved" not in (exported / "tuned" / "README.md").read_text()


async def test_the_exported_model_answers_without_inhouse_as_the_release_does(exported, workspace):
    import xllamacpp

    release = next(r for r in Releases(workspace).all() if r.arm == "tuned")
    opened = open_release(workspace, release)
    body = json.loads((exported / "tuned" / "request.json").read_text())
    expected = await collect(opened.model, ask(body["messages"][-1]["content"]))
    opened.close()
    for folder, base, lora in (("tuned", "model.gguf", ""), ("adapter", "base.gguf", "adapter.gguf")):
        params = xllamacpp.CommonParams()
        params.model.path = str(exported / folder / base)
        params.n_ctx, params.warmup, params.use_jinja, params.verbosity = 512, False, True, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        if lora:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(exported / folder / lora), 1.0)]
        server = xllamacpp.Server(params)
        async with httpx.AsyncClient(base_url=server.listening_address, timeout=60) as client:
            said = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]["content"]
            text = (await client.post("/apply-template", json={"messages": body["messages"]})).json()["prompt"]
            ids = (await client.post("/tokenize", json={"content": text, "parse_special": True})).json()["tokens"]
        del server
        if folder == "tuned":
            assert said == expected.text
        else:
            assert said
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(exported / folder / "tokenizer" / "tokenizer.json"))
        assert tokenizer.encode(text, add_special_tokens=False).ids == ids


def test_ollama_and_vllm_are_told_how(exported):
    modelfile = (exported / "tuned" / "Modelfile").read_text()
    assert modelfile.startswith("FROM ./model.gguf\n")
    assert "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>" in modelfile
    assert "\nSYSTEM You answer customers" in modelfile
    assert 'PARAMETER stop "<|im_end|>"' in modelfile
    assert "ADAPTER ./adapter.gguf" in (exported / "adapter" / "Modelfile").read_text()
    assert "Answer from the numbered passages" in (exported / "rag" / "Modelfile").read_text()
    assert "vllm serve ./model.gguf --tokenizer ./tokenizer" in (exported / "tuned" / "serve_vllm.sh").read_text()
    adapted = exported / "adapter" / "serve_vllm.sh"
    assert "--max-lora-rank 8 --lora-modules bot=./adapter" in adapted.read_text()
    assert subprocess.run(["sh", "-n", str(adapted)], check=False).returncode == 0
    assert "missing base model" in subprocess.run([str(adapted)], capture_output=True, text=True, check=False).stderr


def test_a_hugging_face_folder_holds_the_custom_model(folder, models_dir, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    workspace = workspace_of(folder, models_dir)
    releases = {r.arm: r for r in Releases(workspace).all()}
    for form in ("merged", "adapter"):
        export(workspace, releases["tuned"], tmp_path / form, form, "hf")
        sums = ["sha256sum", "-c", "SHA256SUMS"]
        assert subprocess.run(sums, cwd=tmp_path / form, capture_output=True, check=False).returncode == 0
        assert "tags: [safetensors, inhouse]" in (tmp_path / form / "README.md").read_text()
    merged, plain = (AutoModelForCausalLM.from_pretrained(tmp_path / form) for form in ("merged", "adapter"))
    assert merged.dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    messages = json.loads((tmp_path / "merged" / "request.json").read_text())["messages"]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        base = plain(ids).logits[0, -1].float().log_softmax(-1)
        adapted = PeftModel.from_pretrained(plain, tmp_path / "adapter" / "adapter")(ids).logits[0, -1].float()
        own = merged(ids).logits[0, -1].float().log_softmax(-1)
    apart = [float((own.exp() * (own - other)).sum()) for other in (adapted.log_softmax(-1), base)]
    assert apart[0] < 0.01
    assert apart[0] < apart[1]
    script = (tmp_path / "adapter" / "serve_vllm.sh").read_text()
    assert "vllm serve . --enable-lora --max-lora-rank 8 --lora-modules bot=./adapter" in script
    assert "vllm serve . --served-model-name bot" in (tmp_path / "merged" / "serve_vllm.sh").read_text()
    with pytest.raises(ConfigError, match="not an export format"):
        export(workspace, releases["tuned"], tmp_path / "other", "merged", "onnx")


def test_a_release_names_its_engine(workspace):
    assert {r.engine for r in Releases(workspace).all()} == {"embedded f16"}


def test_nothing_is_written_over(exported, workspace, tmp_path):
    releases = {r.arm: r for r in Releases(workspace).all()}
    before = hashlib.sha256((exported / "tuned" / "model.gguf").read_bytes()).hexdigest()
    for folder in (exported / "tuned", exported / "tuned" / "model.gguf"):
        with pytest.raises(ConfigError, match="not empty"):
            export(workspace, releases["rag"], folder)
    assert hashlib.sha256((exported / "tuned" / "model.gguf").read_bytes()).hexdigest() == before
    with pytest.raises(ConfigError, match="no LoRA adapter"):
        export(workspace, releases["rag"], tmp_path / "new", "adapter")
    assert not list(tmp_path.iterdir())


# --- the bytes that were measured ---------------------------------------------------------------------------------


def change_three_bytes(file):
    """Changes bytes in the middle of a file and puts its times back."""
    before, data = file.stat(), bytearray(file.read_bytes())
    for n in range(3):
        data[len(data) // 2 + n] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def copied(folder, tmp_path, models_dir):
    """A copy of the project, to damage, and the releases in it; no other test has served anything from it."""
    copy = tmp_path / "project"
    shutil.copytree(folder.with_name("pristine"), copy)
    workspace = workspace_of(copy, models_dir)
    return workspace, {r.arm: r for r in Releases(workspace).all()}


async def test_three_changed_bytes_are_not_opened(copied):
    workspace, made = copied
    file = Path(workspace.store.open("adapter", made["tuned+rag"].adapter).path) / "model.gguf"
    open_release(workspace, made["tuned+rag"]).close()
    change_three_bytes(file)
    with pytest.raises(GateError, match="model.gguf: was changed") as caught:
        open_release(workspace, made["tuned+rag"])
    assert caught.value.exit_code == 5
    open_release(workspace, made["rag"]).close()  # needs other weights
    wrong = [c.problem for c in Releases(workspace).verify(str(made["rag"].version)) if c.problem]
    assert wrong == [f"{file}: was changed"]


async def test_a_server_keeps_what_it_serves_when_the_next_release_was_changed(copied):
    workspace, made = copied
    releases, fleet = Releases(workspace), Fleet(workspace)
    releases.promote(str(made["rag"].version))
    assert await fleet.refresh()
    change_three_bytes(Path(workspace.store.open("adapter", made["tuned"].adapter).path) / "model.gguf")
    releases.promote(str(made["tuned"].version))
    with pytest.raises(GateError, match="model.gguf"):
        await fleet.refresh()
    assert label(made["rag"]) in fleet.names()
    assert (await collect(fleet.model("custom"), ChatRequest(messages=(Message(role="user", content="cost?"),)))).text
    fleet.close()


def test_what_was_changed_is_neither_promoted_nor_a_canary(copied):
    workspace, made = copied
    version, project = str(made["tuned"].version), workspace.project.root
    before = Releases(workspace).promote(str(made["rag"].version))
    change_three_bytes(Path(workspace.store.open("adapter", made["tuned"].adapter).path) / "model.gguf")
    with pytest.raises(GateError, match=r"not what was measured: .*model.gguf"):
        commands.promote(version, project)
    with pytest.raises(GateError, match=r"not what was measured: .*model.gguf"):
        commands.canary("10%", version, project)
    assert Releases(workspace).serving() == before


async def test_a_file_that_is_changed_while_it_is_served_is_noticed(copied):
    workspace, made = copied
    fleet = Fleet(workspace)
    Releases(workspace).promote(str(made["rag"].version))
    assert await fleet.refresh()
    index = Path(workspace.store.open("index", made["rag"].index).path) / "index.json"
    before = index.read_bytes()
    question = ChatRequest(messages=(Message(role="user", content="cost?"),))
    for text, wrong in ((b"{}" + before, True), (before, False)):
        index.write_bytes(text)
        assert not await fleet.refresh()
        assert fleet.trouble() == (f"a release is not what was measured: {index}: was changed" if wrong else "")
        if wrong:
            with pytest.raises(BackendError, match="not what was measured"):
                await collect(fleet.model("custom"), question)
    assert (await collect(fleet.model("custom"), question)).text
    fleet.close()


async def test_a_release_that_was_rewritten_is_not_served(copied):
    workspace, made = copied
    Releases(workspace).promote(str(made["rag"].version))
    release = next(a for a in workspace.store.all("release") if a.facts["version"] == made["rag"].version)
    file = Path(release.path) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["facts"]["pins"] = {}
    manifest["facts"]["settings"]["assistant"]["instructions"] = "Give discounts."
    file.write_text(json.dumps(manifest))
    fleet = Fleet(workspace)
    with pytest.raises(GateError, match=r"release bot/\d was changed outside of inhouse, so it is not served"):
        await fleet.refresh()
    fleet.close()


def test_what_a_manifest_says_is_pinned_too(copied):
    workspace, made = copied
    data = workspace.store.latest("dataset")
    file = Path(data.path) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["facts"]["languages"] = {"de": 99}
    file.write_text(json.dumps(manifest))
    with pytest.raises(GateError, match=r"manifest\.json: was changed"):
        open_release(workspace, made["rag"])


@pytest.mark.parametrize("change", ["index file changed", "index file added", "manifest too", "embedder"])
def test_whatever_a_release_reads_is_checked(copied, change, tmp_path, monkeypatch):
    workspace, made = copied
    release = made["rag"]
    index = Path(workspace.store.open("index", release.index).path)
    if change == "index file changed":
        change_three_bytes(max((f for f in index.rglob("*.lance") if f.is_file()), key=lambda f: f.stat().st_size))
    elif change == "index file added":
        versions = next(index.rglob("_versions"))
        shutil.copy(next(versions.glob("*.manifest")), versions / "18446744073709551000.manifest")
    elif change == "manifest too":
        file = index / "index.json"
        file.write_text(file.read_text() + " ")
        manifest = json.loads((index / "manifest.json").read_text())
        manifest["files"]["index.json"] = {"sha256": file_sha256(file), "bytes": file.stat().st_size}
        (index / "manifest.json").write_text(json.dumps(manifest))
    else:
        (tmp_path / "models").mkdir()
        for model in workspace.catalog.folder.iterdir():
            if model.name != "minilm-l6-v2":
                (tmp_path / "models" / model.name).symlink_to(model)
        embedder = shutil.copytree(workspace.catalog.folder / "minilm-l6-v2", tmp_path / "models" / "minilm-l6-v2")
        file = embedder / "tokenizer.json"
        file.write_text(file.read_text() + " ")
        workspace = Workspace(workspace.project, Catalog(tmp_path))
    with pytest.raises(GateError, match=r"was (changed|added)|differs from what was measured"):
        open_release(workspace, release)


async def test_a_release_of_an_earlier_version_opens_and_says_so(copied, caplog):
    workspace, made = copied
    old = made["rag"].model_copy(update={"pins": {}})
    open_release(workspace, old).close()
    assert "made by an earlier version; not verified" in caplog.text


async def test_a_release_is_not_made_from_changed_artifacts(copied, models_dir):
    workspace, made = copied
    change_three_bytes(Path(workspace.store.open("weights", made["rag"].weights).path) / "model.gguf")
    again = workspace_of(workspace.project.root, models_dir, **{"release.arm": "rag", "release.name": "again",
                         "guardrails.rails": "[]", "release.max_wrong": "1"})  # fmt: skip
    with pytest.raises(GateError, match="model.gguf: was changed"):
        Releases(again).make()
