"""Trains a job folder as one of torchrun's processes, and ends after some steps, with a checkpoint after each:
`interrupted.py JOB OUT STEPS`."""

import sys
from contextlib import contextmanager
from pathlib import Path

from inhouse.training import parcel, sft


class Ended(Exception):
    pass


class Ending:
    """A Progress that ends the run at its next step."""

    def __init__(self, steps):
        self.left = steps

    @contextmanager
    def step(self, label, total):
        yield self

    def advance(self, amount=1, note=""):
        self.left -= 1
        if self.left < 0:  # after the checkpoint of the step before
            raise Ended


if __name__ == "__main__":
    sft.SAVE_EVERY_S = 0.0
    job, _ = parcel.read_job(Path(sys.argv[1]))
    try:
        sft.train(job, Path(sys.argv[2]), Ending(int(sys.argv[3])))
    except Ended:
        sys.exit(0)
    sys.exit("it was not ended")
