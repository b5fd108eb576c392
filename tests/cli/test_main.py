import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

import inhouse.cli
from inhouse.cli.main import app
from inhouse.config import reference

BANNED = re.compile(r"\b(verbs?|calls out|of its own|borne out|for ever|anew|promises?|in the house)\b", re.IGNORECASE)
HEAVY = "torch|transformers|peft|lancedb|onnxruntime|spacy|presidio_analyzer|markitdown|xllamacpp|numpy"


def call(*arguments, cwd=None, cache=None):
    environment = {**os.environ, **({"INHOUSE_CACHE": str(cache)} if cache else {})}
    return subprocess.run(
        [sys.executable, "-c", "from inhouse.cli.main import main; main()", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def new_project(tmp_path_factory):
    """What `init` writes."""
    folder = tmp_path_factory.mktemp("new")
    assert call("init", ".", cwd=folder).returncode == 0
    return folder


def test_help_is_quick_and_names_every_command():
    started = time.monotonic()
    help = call("--help")
    assert help.returncode == 0
    assert time.monotonic() - started < 5  # the aim is half a second; this catches an import of torch
    for command in get_command(app).commands:
        assert f" {command} " in help.stdout, command


def test_help_imports_nothing_heavy():
    code = f"import sys, inhouse.cli.main; bad = set('{HEAVY}'.split('|')) & set(sys.modules); assert not bad, bad"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_init_writes_a_project_that_check_reads(tmp_path):
    made = call("init", "bank", cwd=tmp_path)
    assert made.returncode == 0
    assert "conversations.jsonl" in made.stdout
    again = call("init", "bank", cwd=tmp_path)
    assert again.returncode == 2
    assert "already exists" in again.stderr
    found = call("check", "--project", "bank", "--json", cwd=tmp_path, cache=tmp_path / "none")
    assert found.returncode == 3
    problems = json.loads(found.stdout)["problems"]
    assert any("documents" in p for p in problems)
    assert any("conversations" in p for p in problems)
    assert any("inhouse models pull smollm2-135m-instruct" in p for p in problems)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["check", "--project", "nowhere"], 2, "there is no project file"),
        (["check", "--set", "training.rank=many"], 2, "--set training.rank: Input should be"),
        (["check", "--set", "training.rnak=3"], 2, "did you mean 'rank'"),
        (["check", "--set", "rubbish"], 2, "not KEY=VALUE"),
        (["check", "--explain", "trainin"], 2, "the sections are"),
        (["ingest"], 3, "documents"),
        (["audit-data"], 3, "documents"),
        (["roadmap", "--project", "nowhere"], 2, "there is no project file"),
        (["show", "zzzz"], 3, "0 artifacts"),
        (["models", "pull", "nothing"], 2, "known:"),
        (["models", "add", "x", "nothing.gguf"], 3, "nothing.gguf"),
        (["release"], 3, "no verdict"),
        (["release", "promote", "3"], 3, "there is no release yet"),
        (["release", "rollback"], 3, "no earlier production"),
        (["release", "canary", "a lot"], 2, "not a percentage"),
        (["release", "--project", ".", "list"], 2, "must follow the command"),
        (["experiment", "start", "base"], 2, "expected ARM=WEIGHT"),
        (["experiment", "stop"], 2, "no experiment is live"),
        (["experiment", "show"], 3, "there is no experiment yet"),
        (["init", "inhouse.toml"], 4, "cannot be created (Not a directory)"),
        (["guard", "test", "none.jsonl"], 3, "none.jsonl: cannot be read (No such file or directory)"),
        (["export", "."], 3, "there is no release yet"),
    ],
)
def test_errors_say_what_to_do_and_have_their_exit_code(new_project, tmp_path, arguments, code, text):
    shutil.copytree(new_project, tmp_path, dirs_exist_ok=True)
    found = call(*arguments, cwd=tmp_path, cache=tmp_path / "cache")
    assert found.returncode == code, found.stderr
    assert text in found.stderr.replace("\n", " ")
    assert "error:" in found.stderr
    assert "Traceback" not in found.stderr


def test_bad_toml_names_the_line(tmp_path):
    (tmp_path / "inhouse.toml").write_text('name = "x"\n[training\n')
    found = call("build", cwd=tmp_path)
    assert found.returncode == 2
    assert "line 2" in found.stderr


def test_ingest_tells_every_files_fate(tmp_path):
    call("init", ".", cwd=tmp_path)
    (tmp_path / "documents" / "a.md").write_text("# A\n\nSome text about a thing.")
    (tmp_path / "documents" / "copy of a.md").write_text("A\n\nSome text about a thing.")
    (tmp_path / "documents" / "b.pdf").write_bytes(b"%PDF-1.4 broken")
    found = call("ingest", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "failed: b.pdf" in found.stdout
    assert "left out: copy of a.md: same words as a.md, which is longer" in found.stdout
    assert "documents" in found.stderr
    listed = call("show", "--json", cwd=tmp_path)
    assert json.loads(listed.stdout)[0]["kind"] == "documents"


def test_models_list_says_what_is_missing(tmp_path):
    found = call("models", "list", "--json", cache=tmp_path)
    assert json.loads(found.stdout)["minilm-l6-v2"] == "not pulled"


def helps(command):
    """The help texts of a command, its options and arguments, and its subcommands."""
    yield command.help or ""
    yield from (p.help or "" for p in command.params if hasattr(p, "help"))
    for inner in getattr(command, "commands", {}).values():
        yield from helps(inner)


def commands_help(command):
    yield command.help
    for inner in getattr(command, "commands", {}).values():
        yield from commands_help(inner)


def strings(file):
    """The string literals of a source file, without docstrings."""
    tree = ast.parse(file.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def test_no_help_has_brackets_that_the_terminal_takes_for_markup():
    texts = list(helps(get_command(app)))
    assert len(texts) > 50
    assert [text for text in texts if "[" in text] == []


def test_the_list_of_commands_has_one_line_for_each():
    summaries = [(text or "").strip().split("\n\n")[0] for text in commands_help(get_command(app))]
    assert len(summaries) > 40
    assert [text for text in summaries if "\n" in text or not text] == []


def test_help_of_commands_and_keys_uses_plain_english():
    texts = [*helps(get_command(app)), reference.settings_markdown()]
    assert [text for text in texts if BANNED.search(text)] == []


def test_messages_of_commands_use_plain_english():
    messages = [text for file in Path(inhouse.cli.__path__[0]).glob("*.py") for text in strings(file)]
    assert len(messages) > 200
    messages = [text for text in messages if " " in text]  # words of a sentence, not keys such as facts["promise"]
    assert [text for text in messages if BANNED.search(text)] == []


def test_a_server_that_cannot_start_ends_whatever_its_threads_do(write_project, tmp_path):
    write_project(tmp_path)
    code = """
import sys, threading, time
from inhouse.cli.main import main
from inhouse.errors import BackendError
from inhouse.serving import start

def fail(*_):
    threading.Thread(target=time.sleep, args=[600]).start()
    raise BackendError("it did not start", "try again")

start.start = fail
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--project", tmp_path],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 4
    assert "it did not start" in done.stderr
    assert "try again" in done.stderr
