"""One of the processes that fine-tune together: a program that reads its job from a file and writes how far it is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inhouse.training.sft import tune
from inhouse.training.workers import Job
from inhouse.types import InhouseError, Json, Step


class Lines:
    """A Progress that writes a line of JSON a step; fails once nobody reads, so that no process trains on alone."""

    def __init__(self) -> None:
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what a library prints goes to the messages

    @contextmanager
    def step(self, label: str, total: float | None) -> Iterator[Step]:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.write({"share": amount, "note": note})

    def write(self, said: dict[str, Json]) -> None:
        print(json.dumps(said), file=self.out, flush=True)


def main() -> None:
    from accelerate import PartialState

    job = Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lines = Lines()
    try:
        lines.write({"facts": tune(job, lines)})
    except InhouseError as error:  # all processes find the same fault, and the first tells it
        lines.write({"failed": str(error), "hint": error.hint})
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()
