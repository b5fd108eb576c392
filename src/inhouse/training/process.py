"""One of the processes that fine-tune together: a program that reads its job from a file and prints how far it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inhouse.training.sft import tune
from inhouse.training.workers import Job
from inhouse.types import InhouseError, Json, Step


class Lines:
    """A Progress that prints a line of JSON a step; fails once nobody reads, so that no process trains on alone."""

    @contextmanager
    def step(self, label: str, total: float | None) -> Iterator[Step]:
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        print(json.dumps({"share": amount, "note": note}), flush=True)


def main() -> int:
    from accelerate import PartialState

    job = Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        said: dict[str, Json] = {"facts": tune(job, Lines())}
    except InhouseError as error:
        said = {"failed": str(error), "hint": error.hint}
    PartialState().destroy_process_group()
    print(json.dumps(said), flush=True)
    return int("failed" in said)


if __name__ == "__main__":
    sys.exit(main())
