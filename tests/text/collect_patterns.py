"""Prints every pattern that the package compiles, as JSON: those of imports, of functions, and of data.

Run in a process by itself: it imports all modules, with `re` and `regex` recorded from the start.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import regex
from presidio_analyzer import PatternRecognizer
from presidio_analyzer import predefined_recognizers as generic

import inhouse

ROOT = Path(inhouse.__file__).parent
CALLS = ("compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")
Site = tuple[str, int]
found: dict[tuple[str | bytes, int, str], set[Site]] = {}


def _record(pattern: object, flags: int, engine: str) -> None:
    frame = sys._getframe(2)
    while frame.f_back and Path(frame.f_code.co_filename).parent.name in ("re", "regex"):
        frame = frame.f_back
    file = frame.f_code.co_filename
    if isinstance(pattern, str | bytes) and file.startswith(str(ROOT)):
        found.setdefault((pattern, int(flags), engine), set()).add((file[len(str(ROOT)) + 1 :], frame.f_lineno))


def record() -> None:
    """Notes each pattern from now on, with the line of the package that compiles it."""
    compile_re, compile_regex = re._compile, regex.compile

    def of_re(pattern, flags):
        _record(pattern, flags, "re")
        return compile_re(pattern, flags)

    def of_regex(pattern, flags=0, **kwargs):
        _record(pattern, flags, "regex")
        return compile_regex(pattern, flags, **kwargs)

    re._compile, regex.compile = of_re, of_regex


def modules() -> list[ModuleType]:
    names = [m.name for m in pkgutil.walk_packages(inhouse.__path__, "inhouse.")]
    return [importlib.import_module(name) for name in names if name != "inhouse.store.migrations.env"]


def build_those_of_data() -> None:
    """Runs what compiles patterns from data files, or from texts; each with words in the place of a user's."""
    from inhouse.datasets import templates
    from inhouse.models import embed
    from inhouse.privacy import characters, foreign
    from inhouse.privacy.locales import LOCALES
    from inhouse.routing import restore
    from inhouse.text import courtesy, numbers

    restore.Table([("Ann Lee", "Eva Ott"), ("a@b.de", "c@example.com")])
    courtesy._polite()
    characters._chinese_names()
    for language in LOCALES:
        foreign._rules(language)
    for forms in templates.TEMPLATES.values():
        templates.is_personal("I", forms)
    numbers.says("a 5% fee", "5% fee")
    for shape, *_ in embed.FAMILIES:
        re.search(shape, "")
    for recognizer in _presidio():
        for pattern in recognizer.patterns:
            flags = int(recognizer.global_regex_flags)
            found.setdefault((pattern.regex, flags, "regex"), set()).add((f"privacy/recognizers.py:{pattern.name}", 0))


def _presidio() -> list[PatternRecognizer]:
    """The recognizers that Presidio runs over texts, ours and its own."""
    from inhouse.privacy import recognizers

    own = (generic.CreditCardRecognizer, generic.IbanRecognizer, generic.IpRecognizer)
    return [*(r() for r in own), *recognizers.ours()]


def uses(trees: dict[str, ast.Module]) -> dict[Site, set[str]]:
    """How the pattern of a line is used: by the methods called on its name, all of them if it is also passed around."""
    methods: dict[str, set[str]] = defaultdict(set)
    for file, tree in trees.items():
        called = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr in CALLS}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in CALLS and (name := _name(node.value, file)):
                methods[name].add(node.attr)
            elif id(node) not in called and (name := _name(node, file)) and isinstance(node.ctx, ast.Load):
                methods[name].update(CALLS)
    results: dict[Site, set[str]] = {}
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _engine_of(node) and node.func.attr != "compile":
                results[file, node.lineno] = {node.func.attr}
            elif isinstance(node, ast.Assign):
                for targets, value in _assigned(node):
                    if isinstance(value, ast.Call) and _engine_of(value):
                        results[file, value.lineno] = set().union(*(methods[_name(t, file)] for t in targets))
    return results


def _assigned(node: ast.Assign) -> list[tuple[list[ast.expr], ast.expr]]:
    """What is assigned to which names; `a, b = x, y` is two assignments."""
    if len(node.targets) == 1 and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
        return [([t], v) for t, v in zip(node.targets[0].elts, node.value.elts, strict=True)]
    return [(node.targets, node.value)]


def _name(node: ast.AST, file: str) -> str:
    """The name of a variable or an attribute; with its file where the name is private to it."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return f"{file}:{name}" if name.startswith("_") else name


def _engine_of(node: ast.Call) -> str:
    f = node.func
    known = isinstance(f, ast.Attribute) and f.attr in CALLS and isinstance(f.value, ast.Name)
    return f.value.id if known and f.value.id in ("re", "regex") else ""


class _Words(dict):
    """The globals of a module; a name that only a function knows is a word."""

    def __missing__(self, key: str) -> object:
        import builtins

        if hasattr(builtins, key):
            return getattr(builtins, key)
        return "some words"


def of_functions(mods: list[ModuleType], trees: dict[str, ast.Module], seen: set[Site]) -> list[str]:
    """Compiles the patterns of calls that did not run, and returns those of them that need more than a word."""
    missing = []
    for mod in mods:
        file = str(Path(mod.__file__).relative_to(ROOT))
        for node in ast.walk(trees[file]):
            if not isinstance(node, ast.Call) or not (engine := _engine_of(node)):
                continue
            if any(f == file and node.lineno <= line <= node.end_lineno for f, line in seen):
                continue
            names = [k for k in node.keywords if k.arg == "flags"]
            source = ast.Tuple([node.args[0], *(k.value for k in names)], ast.Load())
            try:
                code = compile(ast.fix_missing_locations(ast.Expression(source)), file, "eval")
                pattern, *flags = eval(code, _Words(vars(mod)))
                found.setdefault((pattern, int(flags[0]) if flags else 0, engine), set()).add((file, node.lineno))
            except Exception as error:
                missing.append(f"{file}:{node.lineno}: {ast.unparse(node)[:90]} ({error})")
    return missing


def main() -> None:
    record()
    mods = modules()
    build_those_of_data()
    trees = {str(Path(m.__file__).relative_to(ROOT)): ast.parse(Path(m.__file__).read_text("utf-8")) for m in mods}
    missing = of_functions(mods, trees, set().union(*found.values()))
    used = uses(trees)
    rows = []
    for (pattern, flags, engine), sites in found.items():
        methods = set().union(*(used.get(s) or CALLS for s in sites)) - {"compile"}
        text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
        rows.append({"pattern": text, "bytes": isinstance(pattern, bytes), "flags": flags, "engine": engine,
                     "sites": sorted(f"{f}:{n}" for f, n in sites), "methods": sorted(methods)})  # fmt: skip
    print(json.dumps({"patterns": rows, "missing": missing}))


if __name__ == "__main__":
    main()
