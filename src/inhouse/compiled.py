"""A program: compiles the grammar on its standard input within limits, and prints what is wrong with it.

It imports little, so that it starts in a twentieth of a second, and runs in a process that may be killed (schema.py).
"""

from __future__ import annotations

import re
import sys

MOST_MB = 1_000  # of address space
SHOWN = 300


def main() -> None:
    if sys.platform == "linux":
        import resource

        seconds = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MB * 2**20,) * 2)
    from llguidance import LLMatcher

    print(_said(LLMatcher.validate_grammar(sys.stdin.read())))


def _said(message: str) -> str:
    """The reason alone, without the place in the grammar and the lines that it quotes."""
    reason = re.split(r"\n[^\S\n]*+\d+ \| ", message)[0].split("failed to compile JSON schema: ")[-1]
    return " ".join(reason.split()).replace("Unimplemented keys:", "the engine cannot follow the keywords")[:SHOWN]


if __name__ == "__main__":
    main()
