"""What a request may ask for besides the conversation, and what is done about it.

Nothing is dropped in silence. A parameter is in one of four groups, and docs/guide.md lists them:

- done by every model: the fields of the bodies themselves;
- accepted without effect (`Hints`): it asks for nothing that changes the answer, or for what happens anyway;
- passed on to upstream servers, and refused by name for models of this server (`Upstream`);
- refused by name (`refused`). A parameter that the API does not have is refused too.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from inhouse.types import Json

UNSUPPORTED, UNSUPPORTED_VALUE = "unsupported_parameter", "unsupported_value"
MOST_STOPS, MOST_BIASES = 16, 1024
MOST_ITEMS = 2048  # of a list, as OpenAI has it for messages
MOST_TOOLS = 128  # as at OpenAI
T = TypeVar("T")


def _clean(text: str) -> str:
    """Replaces NUL and lone surrogates: JSON can contain them, but databases and engines reject them."""
    return _REJECTED.sub("\ufffd", text)


_REJECTED = re.compile("[\0\ud800-\udfff]")
Text = Annotated[str, AfterValidator(_clean)]


def _few(most: int) -> BeforeValidator:
    """Refuses an object with more entries before each of them is checked."""

    def check(value: Json) -> Json:
        if isinstance(value, dict) and len(value) > most:
            raise ValueError(f"at most {most} entries are allowed, it has {len(value)}")
        return value

    return BeforeValidator(check)


# A body of one megabyte has room for 500,000 wrong values, and an error for each would take half a minute. So lists are
# read up to the first wrong value, and objects with open names are limited before they are read.
Listed = Annotated[list[T], Field(fail_fast=True)]
Many = Annotated[Listed[T], Field(max_length=MOST_ITEMS)]
Name = Annotated[Text, Field(max_length=64)]
Short = Annotated[Text, Field(max_length=512)]
Metadata = Annotated[dict[Name, Short], _few(16)]
Options = Annotated[dict[Name, Short | int | bool | None], _few(16)]
Biases = Annotated[  # by IDs of the model's own tokens
    dict[Annotated[str, Field(pattern=r"^\d{1,7}$")], Annotated[float, Field(ge=-100, le=100)]], _few(MOST_BIASES)
]


class Wire(BaseModel):
    """A part of a body: types are strict, and fields that only describe something are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class Body(Wire):
    """A whole body: a field that it does not have asks for something, so it is refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _one_unknown(cls, value: Any) -> Any:
        """The body with the first of its unknown fields, because there could be too many for an error for each."""
        if not isinstance(value, dict) or len(value) <= len(cls.model_fields):
            return value
        unknown = next(name for name in value if name not in cls.model_fields)
        return {name: v for name, v in value.items() if name in cls.model_fields or name == unknown}


class Hints(Body):
    """Accepted without effect, but for `safety_identifier`, which is the user if `user` is not given."""

    user: Text | None = Field(None, max_length=512)
    safety_identifier: Text | None = Field(None, max_length=512)
    metadata: Metadata | None = None
    store: bool | None = None  # the audit log keeps every answer
    prompt_cache_key: Text | None = Field(None, max_length=512)  # prompts are cached anyway
    prompt_cache_retention: Text | None = Field(None, max_length=20)
    prompt_cache_options: Options | None = None


class Upstream(Body):
    """What only some models elsewhere can do. The values in USUAL describe what a model of this server does."""

    USUAL: ClassVar[dict[str, tuple[Json, ...]]] = {
        "reasoning_effort": (None, "none"),
        "verbosity": (None, "medium"),
        "service_tier": (None, "auto", "default"),
        "prediction": (None,),
    }
    reasoning_effort: Text | None = Field(None, max_length=20)
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Text | None = Field(None, max_length=20)
    prediction: dict[str, Any] | None = None

    def upstream_only(self) -> str:
        """The first parameter that asks for something that no model of this server does; "" if there is none."""
        return next((name for name, usual in self.USUAL.items() if getattr(self, name) not in usual), "")


def refused(why: str, *harmless: Json) -> BeforeValidator:
    """Refuses any value but null and the `harmless` ones, naming the parameter."""

    def check(value: Json, info: ValidationInfo) -> Json:
        if value is None or value in harmless:
            return None
        code = UNSUPPORTED_VALUE if harmless else UNSUPPORTED
        named = "value" if harmless else "parameter"
        raise PydanticCustomError(code, f"Unsupported {named}: '{info.field_name}' {why}")

    return BeforeValidator(check)


def _stops(value: str | list[str] | None) -> list[str] | None:
    """The texts that end an answer. An empty one would end every answer at once, so it stands for none."""
    given = [value] if isinstance(value, str) else value or []
    if len(given) > MOST_STOPS:
        raise ValueError(f"at most {MOST_STOPS} texts")
    return [text for text in given if text] or None


Stop = Annotated[Short | Many[Short] | None, AfterValidator(_stops)]
