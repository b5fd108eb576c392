"""Two releases asked the same questions: what got better, what got worse, and which questions are outdated.

After documents change, the reference of a test may say what was true before. Such a question cannot tell a right
answer from a wrong one any more. It is outdated, and a person is asked for a new reference. Until then an answer that
was right by the old reference is taken for wrong, and the new answer for right if the new passages support it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from inhouse.types import GateRule, Record
from inhouse.verdict import read_versioned

FILE, MAJOR = "retest.json", 1
FEW = 10  # questions, below which nothing may be worse
GOOD = frozenset({"right", "proper_handoff"})
Part = Literal["affected", "others", "old", "new"]


class Told(Record):
    """An answer: its text, what came of it (as in the verdict), and whether a statement in it has no support."""

    text: str
    outcome: str
    unsupported: bool = False

    @property
    def good(self) -> bool:
        return self.outcome in GOOD


class Row(Record):
    """A question with both answers.

    `part` says why it was asked: the changed documents affect it, or not; or, after a build, it is one that the release
    in production was measured on, or a new one.
    """

    id: str
    part: Part
    question: str
    reference: str = ""
    outdated: bool = False
    before: Told
    after: Told

    @property
    def change(self) -> int:
        """1 for an answer that got better, -1 for worse, 0 for neither."""
        if self.outdated:
            said_otherwise = self.after.outcome in ("wrong", "partly") and not self.after.unsupported
            return int(self.before.good and said_otherwise)
        return int(self.after.good) - int(self.before.good)


class Retest(Record):
    """Two releases, by their labels, on the same questions. `tests` is how many there are in all."""

    version: str = f"{MAJOR}.0"
    before: str
    after: str
    changed: tuple[str, ...] = ()  # documents
    tests: int = 0
    affected: int = 0
    rows: tuple[Row, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Retest:
        """The retest in an artifact's folder.

        Raises:
            InputError: the file is gone or damaged, or another version wrote it.
        """
        return read_versioned(cls, folder / FILE, MAJOR, "`inhouse watch` writes it again")

    @property
    def better(self) -> tuple[Row, ...]:
        return self.where(lambda row: row.change > 0)

    @property
    def worse(self) -> tuple[Row, ...]:
        return self.where(lambda row: row.change < 0)

    @property
    def outdated(self) -> tuple[Row, ...]:
        return self.where(lambda row: row.outdated)

    def where(self, wanted: Callable[[Row], bool]) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if wanted(row))

    def of(self, part: Part) -> Sequence[Row]:
        return self.where(lambda row: row.part == part)

    @property
    def text(self) -> str:
        """What came of it, in one sentence."""
        counts = f"{len(self.better)} better and {len(self.worse)} worse of {len(self.rows)} questions"
        outdated = f"; {len(self.outdated)} are outdated and need a new reference" if self.outdated else ""
        return f"{self.after} against {self.before}: {counts}{outdated}"

    def rules(self, tolerance: float = 0.0) -> list[GateRule]:
        """Whether the second release may take the place of the first without a person, with the figures.

        In no part may the answers that got worse outnumber those that got better, nor those with a statement that
        nothing supports grow in number, by more than a share of the questions; no answer may fail that did not.

        Args:
            tolerance: that share, rounded up, and none of fewer than FEW questions. A small model answers a few
                questions otherwise whenever its prompt changes.
        """
        found = []
        for part in dict.fromkeys(row.part for row in self.rows):
            rows = self.of(part)
            most = math.ceil(tolerance * len(rows)) if len(rows) >= FEW else 0
            better, worse = (sum(row.change == way for row in rows) for way in (1, -1))
            text = f"{part}: {better} better and {worse} worse of {len(rows)} questions"
            found.append(GateRule(name=part, passed=worse - better <= most, text=text))
            before, after = (sum(getattr(row, side).unsupported for row in rows) for side in ("before", "after"))
            text = f"{part}: answers with an unsupported statement: {before} before, {after} after"
            found.append(GateRule(name=f"{part}, support", passed=after - before <= most, text=text))
        lost = [r for r in self.rows if r.after.outcome == "failed" and r.before.outcome != "failed"]
        text = f"answers that failed and did not before: {len(lost)}"
        return [*found, GateRule(name="failed", passed=not lost, text=text)]
