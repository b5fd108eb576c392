"""The rules of the house, kept by looking at its source."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "inhouse"
FILES = sorted(SRC.rglob("*.py"))
FREE = {
    "pipeline",
    "arms",
    "exports",
    "verdict",
    "releases",
    "serving",
    "exporting",
    "cli",
    "asking",
    "operating",
    "insight",
    "keeping",
    "options",
    "rails",
    "guarding",
    "calibrating",
    "check",
    "terminal",
    "reference",
}  # composition and terminal
HEAVY = {"torch", "transformers", "peft", "accelerate"}
BARRED = {"pickle", "cloudpickle", "joblib", "shelve", "marshal", "dill"}


def room(file: Path) -> str:
    return file.relative_to(SRC).with_suffix("").parts[0]


def imports(file: Path, tree=None):
    for node in ast.walk(tree or ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SRC)))
def test_rooms_import_only_what_is_below_them(file):
    own = room(file)
    if own in FREE:
        return
    allowed = {"types": set(), "config": {"types"}, "store": {"types", "store"}}.get(own, {"types", "config", own})
    if own == "gateway":
        allowed = {"types", "config", "store", "releases", "gateway"}
    for node, name in imports(file):
        parts = name.split(".")
        if parts[0] == "inhouse" and len(parts) > 1:
            assert parts[1] in allowed, f"{file}:{node.lineno} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SRC)))
def test_torch_stays_inside_functions_of_training_and_parity(file):
    tree = ast.parse(file.read_text())
    type_only = {
        id(n)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for n in ast.walk(block)
    }
    inside = {
        id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)
    }
    for node, name in imports(file, tree):
        top = name.split(".")[0]
        assert top not in BARRED, f"{file}:{node.lineno} imports {name}"
        if top in HEAVY and id(node) not in type_only:
            assert id(node) in inside, f"{file}:{node.lineno} imports {name} when the module is loaded"
            assert room(file) == "training" or file.name == "parity.py", f"{file}:{node.lineno} imports {name}"


def test_nothing_trusts_remote_code_or_evaluates_text():
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "torch.load", "torch.save"}, (
                    f"{file}:{node.lineno} calls {called}"
                )
                for keyword in node.keywords:
                    assert keyword.arg != "trust_remote_code", f"{file}:{node.lineno}"


def test_init_files_are_empty_and_files_are_short():
    for file in FILES:
        text = file.read_text()
        assert text.count("\n") <= 500, f"{file} is too long to read in one sitting"
        if file.name == "__init__.py" and file.parent != SRC:
            assert not text.strip(), f"{file} re-exports"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno
                assert lines <= 60, f"{file}:{node.lineno} {node.name} has {lines} lines"


def test_modules_import_in_no_cycle():
    names = {".".join(("inhouse", *f.relative_to(SRC).with_suffix("").parts)): f for f in FILES}
    graph = {}
    for name, file in names.items():
        graph[name] = {
            f"{i}.{a.name}" if f"{i}.{a.name}" in names else i
            for node, i in imports(file)
            if isinstance(node, ast.ImportFrom)
            for a in node.names
            if i in names or f"{i}.{a.name}" in names
        } | {i for _, i in imports(file) if i in names}
    state: dict[str, int] = {}

    def visit(name, trail):
        assert state.get(name) != 1, " -> ".join([*trail, name])
        if name in state:
            return
        state[name] = 1
        for other in graph[name]:
            visit(other, [*trail, name])
        state[name] = 2

    for name in names:
        visit(name, [])
