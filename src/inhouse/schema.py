"""JSON schemas that callers send: which are admitted, and the grammar that the engine follows for them.

The grammar is llguidance's (github.com/guidance-ai/llguidance), which llama.cpp has built in. llama.cpp's own grammars
follow every way in which a text could continue, one by one: a schema with many optional properties or nested
repetitions keeps the engine busy for minutes. Even so, a schema is bounded in size and depth, and compiled in a child
process with a time limit before the engine sees it: compiling may take long, or crash.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache

from inhouse.errors import BackendError
from inhouse.types import Json

MOST_BYTES = 65_536  # of the schema as JSON text
MOST_DEPTH = 64
LONGEST = 100  # characters of a place in a schema, whose names may be long
COMPILE_S = 1  # of processor time
CLOCK_S = 10  # by the clock, on a busy machine
REMEMBERED = 1_000  # schemas
TOO_COMPLEX = "too complex to compile; use fewer properties, values, or repetitions"
# Unbounded white space would let a weak model fill its answer with it.
GUIDANCE = {"whitespace_pattern": r"[\x20\x0A]{0,12}"}


def excess(schema: Json, place: str = "schema") -> str:
    """Which limit a schema exceeds, and where; "" if none. Costs no more than reading the schema once."""
    for at, depth in _places(schema, place):
        if depth > MOST_DEPTH:
            return f"{at}...: nested more than {MOST_DEPTH} levels deep"
    size = len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    return f"{place}: {size:,} bytes, at most {MOST_BYTES:,} are allowed" if size > MOST_BYTES else ""


def grammar(schema: Json) -> str:
    """The schema in the form that llama.cpp passes on to llguidance."""
    given = schema if isinstance(schema, dict) else {"allOf": [schema]}
    return "%llguidance {}\nstart: %json " + json.dumps({**given, "x-guidance": GUIDANCE})


def problem(schema: Json, place: str = "schema") -> str:
    """Why the schema cannot be followed, such as a limit, a keyword, or a pattern; "" if it can.

    Blocks for up to a few seconds; schemas that were seen before take no time.
    """
    return excess(schema, place) or (f"{place}: {found}" if (found := _compiled(grammar(schema))) else "")


def _places(schema: Json, place: str) -> Iterator[tuple[str, int]]:
    """Each value inside, by its place, with its depth; without recursion."""
    waiting: list[tuple[Json, str, int]] = [(schema, place, 0)]
    while waiting:
        value, at, depth = waiting.pop()
        yield at, depth
        if depth > MOST_DEPTH:
            return
        named = [(f".{key[:LONGEST]}", v) for key, v in value.items()] if isinstance(value, dict) else []
        named += [(f"[{n}]", v) for n, v in enumerate(value)] if isinstance(value, list) else []
        waiting += [(v, f"{at}{name}"[:LONGEST], depth + 1) for name, v in named if isinstance(v, dict | list)]


@lru_cache(maxsize=REMEMBERED)
def _compiled(text: str) -> str:
    """What llguidance says against a grammar; "" if it compiles."""
    command = [sys.executable, "-P", "-m", "inhouse.compiled", str(COMPILE_S)]
    try:
        done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", timeout=CLOCK_S, check=False)
    except subprocess.TimeoutExpired:
        return TOO_COMPLEX
    except OSError as error:
        raise BackendError(f"a process cannot be started ({error.strerror})", "free some memory") from error
    return done.stdout.strip() if done.returncode == 0 else TOO_COMPLEX
