"""Text generated from the code: the project file of `inhouse init`, the help of a section, and docs/reference.md."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel

from inhouse.config.load import SIZES, section_class
from inhouse.config.section import Section
from inhouse.config.sections import Project
from inhouse.errors import ConfigError

COMMON: dict[str, Any] = {
    "name": None,
    "size": None,
    "documents.path": None,
    "documents.access": '[[documents.access]]\nfolder = "staff"\ngroups = ["staff"]',
    "curation.conversations": None,
    "curation.tests": ["tests.jsonl"],
    "curation.names_to_keep": ["First National", "Alder Falls"],
    "assistant.instructions": None,
    "assistant.max_tokens": None,
    "model.base": None,
}
"""The keys that `inhouse init` writes, each with an example; None shows the default."""
SET = ("name", "size")  # written as set, not as comments


def toml_value(value: Any) -> str:
    """A value in TOML syntax."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(v) for v in value)}]"
    if isinstance(value, dict):
        return "{}" if not value else "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def sections() -> dict[str, type[Section]]:
    """The sections in the order of the flow, each followed by its subsections: "gateway", "gateway.oidc"."""
    classes: dict[str, type[Section]] = {}
    for name in Project.model_fields:
        if (section := section_class([name])) is not None:
            classes[name] = section
            inner = ((f"{name}.{key}", info.default) for key, info in section.model_fields.items())
            classes |= {title: type(default) for title, default in inner if isinstance(default, Section)}
    return classes


def _keys(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """The keys of a section, without its subsections."""
    for key, info in model.model_fields.items():
        if not (model is Project and key in sections()) and not isinstance(info.default, Section):
            yield key, info


def template(name: str, values: Mapping[str, Any] = MappingProxyType({})) -> str:
    """A project file with the keys in COMMON, with help and an example; commented out but for SET and `values`."""
    lines = [
        "# Project file of inhouse, with the ten most commonly changed keys.",
        "# To set a key, remove the '# ' in front of it. `inhouse check` validates the file.",
        "# All keys: `inhouse check --explain SECTION`, or docs/reference.md. The sections are",
        *_comment(f"{', '.join(['project', *sections()])}."),
    ]
    before = ""
    order = list(Project.model_fields)
    keys = sorted({**COMMON, **values}, key=lambda dotted: order.index(dotted.split(".")[0]))
    for dotted, example in ((key, COMMON.get(key)) for key in keys):
        section, _, key = dotted.rpartition(".")
        info = (section_class([section]) if section else Project).model_fields[key]  # type: ignore[union-attr]
        if section != before:
            lines += ["", f"[{section}]"]
            before = section
        lines += ["", *_comment(_help(info) + _choices(info.annotation))]
        if isinstance(example, str) and example.startswith("[["):
            lines += [f"# {line}" for line in example.splitlines()]
        else:
            value = name if key == "name" else info.default if example is None else example
            is_set = key in SET or dotted in values
            lines.append(f"{'' if is_set else '# '}{key} = {toml_value(values.get(dotted, value))}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")


def _help(info: Any) -> str:
    return " ".join((info.description or "").split())


def explain(name: str) -> str:
    """The keys of a section with their help and default.

    Raises:
        ConfigError: the section does not exist.
    """
    model: type[BaseModel] | None = Project if name == "project" else section_class(name.split("."))
    if model is None:
        raise ConfigError(f"{name} is not a section", f"the sections are project, {', '.join(sections())}")
    rows = []
    for key, info in _keys(model):
        rows.append(f"{key} = {_default(info)}\n    {_help(info)}{_choices(info.annotation)}")
    return "\n".join(rows)


def _default(info: Any) -> str:
    return "required" if info.is_required() else toml_value(info.default)


def _choices(annotation: Any) -> str:
    choices = [a for a in get_args(annotation) if isinstance(a, str) and a]
    return f" One of: {', '.join(choices)}." if choices else ""


def settings_markdown() -> str:
    """Every key of the project file as Markdown tables."""
    lines = ["## Project file", "", "`inhouse.toml`, with its sections in the order of the flow.", ""]
    pages: dict[str, type[Section]] = {"project": Project, **sections()}
    for title, model in pages.items():
        lines += [
            f"### {title if title == 'project' else f'[{title}]'}",
            "",
            "| key | default | what it does |",
            "|---|---|---|",
        ]
        for key, info in _keys(model):
            about = (_help(info) + _choices(info.annotation)).replace("|", "\\|")
            lines.append(f"| `{key}` | `{_default(info)}` | {about} |")
        lines.append("")
    lines += ["### What `size` sets", "", "| size | keys |", "|---|---|"]
    for size, given in SIZES.items():
        keys = ", ".join(f"`{s}.{k} = {toml_value(v)}`" for s, pairs in given.items() for k, v in pairs.items())
        lines.append(f"| `{size}` | {keys} |")
    return "\n".join(lines) + "\n"


def commands_markdown(app: Any) -> str:
    """Every command of a Typer app with its arguments and options."""
    from typer.main import get_command

    lines = ["## Commands", ""]

    def walk(command: Any, name: str) -> None:
        for sub, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{name} {sub}")
        if hasattr(command, "commands") and not command.invoke_without_command:
            return
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
        usage = " ".join([name, *(p.name.upper() for p in arguments)])
        lines.extend([f"### `{usage}`", "", (command.help or "").strip(), ""])
        lines.extend(f"- `{p.name.upper()}`: {p.help}" for p in arguments if getattr(p, "help", None))
        lines.extend(f"- `{', '.join(p.opts)}`: {p.help}" for p in options if p.help)
        lines.append("")

    walk(get_command(app), "inhouse")
    return "\n".join(lines)


def page(app: Any) -> str:
    """docs/reference.md, for the Typer app of the command line."""
    head = "# Reference\n\nGenerated from the code by `make reference`; a test fails if it is out of date.\n\n"
    return head + commands_markdown(app) + "\n" + settings_markdown()
