"""The rules of the house, kept by looking at its source. There is no list of exceptions.

1. Ground imports only ground.
2. Rooms import ground and themselves, never one another; what one needs of another comes in as an argument.
3. Only `assembly` nests ChatModels; `gateway` imports ground and `store`.
4. `pipeline` and `serving` import assembly and rooms, never each other.
5. `cli` parses and prints: a module of it knows at most one room, and neither arms nor guardrails.
6. No file over 500 lines, no function over 60, no import cycle, no arrow up.
"""

import ast
import functools
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "inhouse"
FILES = sorted(f for f in SRC.rglob("*.py") if f != SRC / "__init__.py")
GROUND = {"types", "errors", "files", "chat", "offline", "verdict", "process", "schema", "compiled", "config", "text", "tools",
          "privacy", "bounds", "certificate", "roadmap"}  # fmt: skip
ROOMS = {"store", "documents", "models", "retrieval", "datasets", "training", "evaluation", "guardrails", "routing", "agents",
         "monitoring"}  # fmt: skip
BELOW = {
    **dict.fromkeys(GROUND, GROUND),
    **{room: GROUND | {room} for room in ROOMS},
    "gateway": GROUND | {"store", "gateway"},
    "assembly": GROUND | ROOMS | {"assembly"},
    "pipeline": GROUND | ROOMS | {"assembly", "pipeline"},
    "serving": GROUND | ROOMS | {"gateway", "assembly", "serving"},
    "cli": GROUND | ROOMS | {"assembly", "pipeline", "serving", "cli"},
}
HEAVY = {"torch", "transformers", "peft", "accelerate"}
BARRED = {"pickle", "cloudpickle", "joblib", "shelve", "marshal", "dill"}
TREES = {file: ast.parse(file.read_text()) for file in FILES}

each_file = pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SRC)))


def room(file: Path) -> str:
    return file.relative_to(SRC).with_suffix("").parts[0]


def imports(file: Path):
    """Every import of the file: its node, and the module's full name."""
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module


def own_imports(file: Path):
    """Imports of the package itself: line, room, and "room.module" with what is taken of it."""
    for node, name in imports(file):
        top, *parts = name.split(".")
        if top == "inhouse" and (parts or not isinstance(node, ast.ImportFrom)):
            yield node.lineno, parts[0], ".".join(parts)
        elif top == "inhouse":
            yield from ((node.lineno, a.name, a.name) for a in node.names if a.name != "__version__")


@each_file
def test_files_import_only_what_is_below_them(file):
    for line, used, name in own_imports(file):
        assert used in BELOW[room(file)], f"{file}:{line} imports {name}"


def test_every_folder_and_file_at_the_top_is_a_room():
    assert {room(file) for file in FILES} <= BELOW.keys()


@functools.cache
def wrappers() -> set[str]:
    """Classes that are ChatModels around ChatModels: they have `stream`, and take a model, or a way to one."""
    found = set()
    for tree in TREES.values():
        for cls in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
            methods = {n.name: n for n in cls.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
            if "stream" in methods and "__init__" in methods:
                taken = [ast.unparse(a.annotation) for a in methods["__init__"].args.args if a.annotation]
                if any("ChatModel" in annotation for annotation in taken):
                    found.add(cls.name)
    return found


def test_the_wrappers_are_found():
    assert {"Grounded", "Guarded", "Split", "Prompted", "Fallback"} <= wrappers()


@each_file
def test_only_assembly_nests_chat_models(file):
    if room(file) == "assembly":
        return
    nested = wrappers()
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            assert called not in nested, f"{file}:{node.lineno} puts a ChatModel into a {called}"


@pytest.mark.parametrize("file", [f for f in FILES if room(f) == "cli"], ids=lambda f: f.name)
def test_commands_compose_nothing(file):
    used = list(own_imports(file))
    for line, _, name in used:
        assert not name.startswith(("assembly.arms", "assembly.guard")), f"{file}:{line} imports {name}"
    assert len({r for _, r, _ in used if r in ROOMS}) <= 1, (
        f"{file} knows {sorted({r for _, r, _ in used if r in ROOMS})}"
    )


@each_file
def test_torch_stays_inside_functions_of_training_and_parity(file):
    tree = TREES[file]
    type_only = {
        id(n)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for n in ast.walk(block)
    }
    inside = {
        id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)
    }
    for node, name in imports(file):
        top = name.split(".")[0]
        assert top not in BARRED, f"{file}:{node.lineno} imports {name}"
        if top in HEAVY and id(node) not in type_only:
            assert id(node) in inside, f"{file}:{node.lineno} imports {name} when the module is loaded"
            assert room(file) == "training" or file.name in ("parity.py", "external.py"), (
                f"{file}:{node.lineno} imports {name}"
            )


def test_nothing_trusts_remote_code_or_evaluates_text():
    for file in FILES:
        for node in ast.walk(TREES[file]):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "torch.load", "torch.save"}, (
                    f"{file}:{node.lineno} calls {called}"
                )
                for keyword in node.keywords:
                    assert keyword.arg != "trust_remote_code", f"{file}:{node.lineno}"


@each_file
def test_files_are_short_and_packages_re_export_nothing(file):
    text = file.read_text()
    assert text.count("\n") <= 500, f"{file} is too long to read in one sitting"
    if file.name == "__init__.py":
        assert not text.strip(), f"{file} re-exports"
    for node in ast.walk(TREES[file]):
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
