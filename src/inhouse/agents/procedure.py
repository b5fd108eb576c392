"""A procedure: what an agent does step by step, as states that a page of TOML describes.

The model never decides what happens next; it only understands what the user said. A state is worked through in this
order: `say` something, `forget` what is to be asked again, `collect` slots, `confirm` with the user, `call` a tool,
then go on to the `next` state::

    name = "book"
    title = "Book an appointment"
    examples = ["I would like a haircut on Friday"]

    [slots.day]
    type = "date"
    ask = "Which day suits you?"

    [[states]]
    name = "start"
    collect = ["day"]
    call = { tool = "free_times", with = { day = "{day}" }, as = "times" }
    next = [{ when = "len(times) == 0", go = "full" }, { go = "choose" }]

Texts and arguments may hold `{expression}` over slots and results (`expression`); an argument that is nothing but one
has its value, of any type.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date, time
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from inhouse.agents.expression import Expression
from inhouse.errors import ConfigError, InputError
from inhouse.types import Digest, Json, digest_of

SlotType = Literal[
    "text", "name", "choice", "number", "integer", "money", "date", "time", "phone", "email", "id", "boolean"
]
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?|\d{2}:\d{2}(?::\d{2})?")
HOLE = re.compile(r"\{([^{}]{1,200})\}")


NEAR_DAYS = 300  # a day further away is said with its year
ITEM = "_item"  # the name SLOT_item has the object that a choice was made from


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Slot(Part):
    """What is to be known.

    Attributes:
        type: of the value; dates are ISO 8601 days, times are HH:MM, money and numbers are numbers.
        ask: the question for it.
        hint: what it means, for the model.
        choices: the values of type "choice".
        also: other names of choices, such as {"haircut": ["trim", "cut"]}. The value is the choice.
        choices_from: an expression whose value is the list of values, such as "times" (of objects, see `choice`).
        choice: the member of its objects that the user names, such as "start"; empty for a list of texts. The slot has
            that member, and the name SLOT_item the whole object.
        pattern: regular expression (RE2) that a value of type "id" or "text" matches.
        optional: it is not asked for.
        sensitive: it is not shown in logs of runs.
        keep: its value also holds for other procedures of the agent that have a slot of this name, as do names, phone
            numbers, and email addresses.
    """

    type: SlotType = "text"
    ask: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()
    also: dict[str, tuple[str, ...]] = {}
    choices_from: str = ""
    choice: str = ""
    pattern: str = ""
    optional: bool = False
    sensitive: bool = False
    keep: bool = False


class ToolCall(Part):
    """A call of a tool: its arguments, the name that the result gets, and the state to go to if it fails."""

    tool: str
    arguments: dict[str, Json] = Field(default={}, alias="with")
    result: str = Field("", alias="as")
    on_error: str = ""


class Next(Part):
    """Go to the state `go`, if `when` holds."""

    go: str
    when: str = ""


def _listed(value: Any) -> Any:
    return [{"go": value}] if isinstance(value, str) else value


class State(Part):
    """A state, see the module.

    Attributes:
        say: said when it is entered.
        collect: slots that are asked for, one after the other, if they are not known.
        confirm: a question to the user before the call; yes goes on, no goes to `otherwise`.
        otherwise: the state after "no"; empty asks what should be changed.
        call: the tool to call.
        forget: slots and results that are unknown again once `say` was said.
        next: the state to go to; the first whose condition holds.
        hand_off: a person takes over, for this reason.
        end: the procedure is done.
    """

    name: str
    say: str = ""
    forget: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    confirm: str = ""
    otherwise: str = ""
    call: ToolCall | None = None
    next: Annotated[tuple[Next, ...], BeforeValidator(_listed)] = ()
    hand_off: str = ""
    end: bool = False


class Procedure(Part):
    """A procedure. It begins in its first state.

    Attributes:
        examples: sentences that begin it.
        groups: who may begin it; empty for everybody.
    """

    name: str
    title: str = ""
    description: str = ""
    version: int = 1
    examples: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    slots: dict[str, Slot] = {}
    states: tuple[State, ...]

    @cached_property
    def by_name(self) -> dict[str, State]:
        return {state.name: state for state in self.states}

    @property
    def tools(self) -> frozenset[str]:
        """The tools that it calls anywhere."""
        return frozenset(state.call.tool for state in self.states if state.call)

    @property
    def digest(self) -> Digest:
        data = self.model_dump(mode="json", by_alias=True)
        return digest_of(data | {"groups": sorted(self.groups)})


def read_procedure(file: Path) -> Procedure:
    """The procedure of a TOML or YAML file.

    Raises:
        InputError: the file cannot be read.
        ConfigError: it is not a procedure; the message names the key.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".yml", ".yaml"):
            import yaml

            data = yaml.safe_load(text)
        else:
            data = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error})") from error
    except Exception as error:  # each parser raises its own errors
        raise ConfigError(f"{file}: {error}", "see docs/agents.md for the format of procedures") from error
    return to_procedure(data, str(file))


def to_procedure(data: Json, place: str) -> Procedure:
    """
    Raises:
        ConfigError: it is not a procedure; the message names the place and the key.
    """
    try:
        return Procedure.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{place}: {key}: {first['msg']}", "see docs/agents.md for the format of procedures"
        ) from error


def holes(text: str) -> list[Expression]:
    """The expressions in a text.

    Raises:
        ConfigError: one is not an expression.
    """
    return [Expression(found) for found in HOLE.findall(text)]


def filled(template: Json, names: Mapping[str, Json]) -> Json:
    """A text or argument with its expressions' values; lists and objects are filled inside."""
    if isinstance(template, dict):
        return {key: filled(value, names) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [filled(value, names) for value in template]
    if not isinstance(template, str):
        return template
    if only := HOLE.fullmatch(template):
        return Expression(only[1]).value(names)
    return HOLE.sub(lambda found: written(Expression(found[1]).value(names)), template)


def said(template: str, names: Mapping[str, Json]) -> str:
    """A text for the user, with its expressions' values in words."""
    return HOLE.sub(lambda found: written(Expression(found[1]).value(names)), template)


def written(value: Json) -> str:
    """A value in words: lists with commas and "and", numbers without needless zeros, days and times as people write
    them."""
    match value:
        case str():
            return _moment(value)
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.2f}".removesuffix(".00")
        case list() if len(value) > 1:
            return f"{', '.join(map(written, value[:-1]))} and {written(value[-1])}"
        case list():
            return written(value[0]) if value else "none"
        case dict():
            return ", ".join(written(v) for v in value.values())
    return str(value)


def _moment(text: str) -> str:
    """An ISO 8601 day or time in American English, any other text as it is."""
    if not _MOMENT.fullmatch(text):
        return text
    day, _, clock = text.replace("T", " ").rpartition(" ") if ":" in text else (text, "", "")
    try:
        parts = []
        if day:
            on = date.fromisoformat(day)
            year = f", {on.year}" if abs((on - date.today()).days) > NEAR_DAYS else ""
            parts.append(f"{on:%A}, {on:%B} {on.day}{year}")
        if clock:
            at = time.fromisoformat(clock)
            parts.append(f"{at.hour % 12 or 12}:{at:%M} {'am' if at.hour < 12 else 'pm'}")
    except ValueError:  # no such day or time
        return text
    return " at ".join(parts)
