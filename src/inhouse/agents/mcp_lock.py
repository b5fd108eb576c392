"""What was approved of the tools of MCP servers: mcp.lock beside inhouse.toml, to be reviewed and kept with it.

A server may change what it says of a tool at any time, and a model reads it. So a tool is what was approved: agents see
the description and the schema of the lock, and a tool whose server now says something else is not called until it is
approved again. The file has all that was approved, so that a review shows it, and an agent starts without the server.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from inhouse.agents.keywords import check_schema
from inhouse.errors import ConfigError, RefusedError
from inhouse.files import write_text
from inhouse.schema import problem
from inhouse.types import Json, Record

FILE = "mcp.lock"
MOST_DESCRIPTION = 4_000  # characters
LONGEST_NAME = 64  # of a function, in OpenAI's API
APPROVE = "inhouse tools approve"


class Offer(Record):
    """What a server says of a tool. `annotations` are hints that nobody vouches for."""

    name: str
    description: str = ""
    parameters: dict[str, Json]
    annotations: dict[str, Json] = Field(default_factory=dict)


class Approved(Record):
    """An offer that a person approved, `at` a time in UTC (ISO 8601)."""

    offer: Offer
    by: str
    at: str


Tools = Mapping[str, Approved]


def named(server: str, tool: str) -> str:
    """The name that models call a tool by: the server's and its own, where other signs are underscores."""
    return f"{server}_{tool.replace('.', '_').replace('/', '_')}"


def refusal(server: str, offer: Offer) -> str:
    """Why a tool cannot be approved, "" if it can. Compiles the schema, which may take a second."""
    name = named(server, offer.name)
    if not (offer.name and name.isascii() and name.replace("_", "").replace("-", "").isalnum()):
        return "its name has other characters than letters, digits, and . / _ -"
    if len(name) > LONGEST_NAME:
        return f"its name is longer than {LONGEST_NAME} characters with that of the server"
    if len(offer.description) > MOST_DESCRIPTION:
        return f"its description is longer than {MOST_DESCRIPTION:,} characters"
    if offer.parameters.get("type") != "object":
        return "its parameters are not an object"
    if why := problem(offer.parameters, "parameters"):
        return why
    try:
        check_schema(offer.parameters, "parameters")
    except RefusedError as error:
        return str(error)
    if char := _hidden(offer.model_dump(mode="json")):
        return f"it says something that nobody sees: U+{ord(char):04X}"
    return ""


def _hidden(value: Json) -> str:
    """The first character that is not seen, such as one that controls a terminal or spells instructions to a model."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list):
            waiting += part
        for char in part if isinstance(part, str) else "":
            if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs", "Cn"):
                return char
    return ""


def read(folder: Path) -> dict[str, dict[str, Approved]]:
    """The approved tools by server and name; none if there is no lock.

    Raises:
        ConfigError: the file is damaged, or a tool was changed in it without `inhouse tools approve`.
    """
    file = folder / FILE
    if not file.exists():
        return {}
    hint = f"restore it from version control, or delete it and run `{APPROVE} SERVER`"
    try:
        servers = json.loads(file.read_text(encoding="utf-8"))
        return {
            server: {name: _approved(file, server, name, row, hint) for name, row in tools.items()}
            for server, tools in servers.items()
        }
    except (OSError, ValueError, ValidationError, AttributeError, TypeError, KeyError) as error:
        raise ConfigError(f"{file}: not a lock of MCP tools ({type(error).__name__})", hint) from error


def _approved(file: Path, server: str, name: str, row: dict[str, Any], hint: str) -> Approved:
    said = {key: row[key] for key in ("description", "parameters", "annotations")}
    approved = Approved(offer=Offer(name=name, **said), by=row["by"], at=row["at"])
    if approved.offer.digest != row["digest"]:
        raise ConfigError(f"{file}: {server}.{name}.digest is not that of what the file says of the tool", hint)
    return approved


def write(folder: Path, server: str, tools: Tools) -> Path:
    """Sets the approved tools of a server, and returns the file.

    Raises:
        ConfigError: as for `read`.
        OSError: the file cannot be written.
    """
    servers: dict[str, Tools] = {**read(folder), server: tools}
    rows = {
        server: {
            name: {**approved.offer.model_dump(mode="json", exclude={"name"}), "digest": approved.offer.digest,
                   "by": approved.by, "at": approved.at}
            for name, approved in tools.items()
        }
        for server, tools in servers.items() if tools
    }  # fmt: skip
    write_text(folder / FILE, json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=True) + "\n", 0o644)
    return folder / FILE


class Change(Record):
    """How what a server says of a tool differs from what was approved: `lines` as of a unified diff."""

    tool: str
    kind: str  # "new", "changed", or "gone"
    lines: tuple[str, ...] = ()


def changes(approved: Tools, offers: Iterable[Offer]) -> Sequence[Change]:
    """What differs, by name."""
    return sorted(_changes(approved, {offer.name: offer for offer in offers}), key=lambda change: change.tool)


def _changes(approved: Tools, now: Mapping[str, Offer]) -> Iterator[Change]:
    for name in approved.keys() - now.keys():
        yield Change(tool=name, kind="gone")
    for name, offer in now.items():
        before = approved[name].offer if name in approved else None
        if before is None or before.digest != offer.digest:
            lines = difflib.unified_diff(_lines(before), _lines(offer), "approved", "now", lineterm="", n=1)
            yield Change(tool=name, kind="changed" if before else "new", lines=tuple(lines))


def _lines(offer: Offer | None) -> list[str]:
    """A value a line, in ASCII, so that nothing in it is hidden from who reads it or moves their terminal."""
    said = offer.model_dump(mode="json", exclude={"name"}) if offer else {}
    return json.dumps(said, indent=1, sort_keys=True).splitlines() if offer else []
