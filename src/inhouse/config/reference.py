"""Texts made from the code itself: the commented project file, the help of a section, and docs/reference.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from inhouse.config.load import SIZES, section_class
from inhouse.config.sections import Project, Section
from inhouse.errors import ConfigError

FIRST = ("name", "size")


def toml_value(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(v) for v in value)}]"
    if isinstance(value, dict):
        return "{}" if not value else "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def sections() -> dict[str, type[Section]]:
    """The sections in the order of the flow, a section within one after it: "gateway", "gateway.oidc"."""
    found: dict[str, type[Section]] = {}
    for name in Project.model_fields:
        if (section := section_class([name])) is not None:
            found[name] = section
            inner = ((f"{name}.{key}", info.default) for key, info in section.model_fields.items())
            found |= {title: type(default) for title, default in inner if isinstance(default, Section)}
    return found


def _keys(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """The keys of a section that are no sections."""
    for key, info in model.model_fields.items():
        if not (model is Project and key in sections()) and not isinstance(info.default, Section):
            yield key, info


def template(name: str) -> str:
    """A project file with every key, its help and its default; all but the first lines commented out."""
    lines = [
        "# The project file of inhouse: sections stand in the order of the flow, keys show their defaults.",
        "# Take the '#' away before a key to change it. `inhouse check` says whether all is well.",
        "",
    ]
    for key, info in _keys(Project):
        lines += _key(key, info, commented=key not in FIRST, value=name if key == "name" else info.default)
    for title, section in sections().items():
        many = title in Project.model_fields and isinstance(Project.model_fields[title].default, tuple)
        lines += ["", f"# [[{title}]]   # repeat for each" if many else f"[{title}]"]
        for key, info in _keys(section):
            if key == "access":
                lines += [
                    "# [[documents.access]]   # repeat for each folder",
                    '# folder = "staff"',
                    '# groups = ["staff"]',
                ]
            else:
                lines += _key(key, info, commented=True, value=info.default)
    return "\n".join(lines) + "\n"


def _key(key: str, info: Any, commented: bool, value: Any) -> list[str]:
    mark = "# " if commented else ""
    return [f"# {line}" for line in _help(info)] + [f"{mark}{key} = {toml_value(value)}"]


def _help(info: Any) -> list[str]:
    return " ".join((info.description or "").split()).split("\n")


def explain(name: str) -> str:
    """The keys of a section with help, type and default.

    Raises:
        ConfigError: there is no such section.
    """
    model: type[BaseModel] | None = Project if name == "project" else section_class(name.split("."))
    if model is None:
        raise ConfigError(f"{name} is not a section", f"sections: project, {', '.join(sections())}")
    rows = []
    for key, info in _keys(model):
        rows.append(f"{key} = {toml_value(info.default)}\n    {' '.join(_help(info))}{_choices(info.annotation)}")
    return "\n".join(rows)


def _choices(annotation: Any) -> str:
    choices = [a for a in get_args(annotation) if isinstance(a, str) and a]
    return f" One of: {', '.join(choices)}." if choices else ""


def settings_markdown() -> str:
    """Every key of the project file as Markdown tables."""
    lines = ["## Project file", "", "`inhouse.toml`, sections in the order of the flow.", ""]
    pages: dict[str, type[Section]] = {"project": Project, **sections()}
    for title, model in pages.items():
        lines += [
            f"### {title if title == 'project' else f'[{title}]'}",
            "",
            "| key | default | what it does |",
            "|---|---|---|",
        ]
        for key, info in _keys(model):
            about = (" ".join(_help(info)) + _choices(info.annotation)).replace("|", "\\|")
            lines.append(f"| `{key}` | `{toml_value(info.default)}` | {about} |")
        lines.append("")
    lines += ["### What `size` sets", "", "| size | keys |", "|---|---|"]
    for size, given in SIZES.items():
        keys = ", ".join(f"`{s}.{k} = {toml_value(v)}`" for s, pairs in given.items() for k, v in pairs.items())
        lines.append(f"| `{size}` | {keys} |")
    return "\n".join(lines) + "\n"


def verbs_markdown(app: Any) -> str:
    """Every verb of a Typer app with its arguments and options."""
    from typer.main import get_command

    lines = ["## Verbs", ""]

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
    """docs/reference.md, for the Typer app of the verbs."""
    head = "# Reference\n\nWritten from the code by `make reference`; a test fails when it is stale.\n\n"
    return head + verbs_markdown(app) + "\n" + settings_markdown()
