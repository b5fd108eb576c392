"""What a cascade keeps, as values: its certificates, what was possible, and its figures, as cascade.json holds them.

A cascade asks its rungs from the cheapest to the top one and gives the first answer whose score is at least the rung's
threshold; the top rung's is given whatever its score. The top rung may be a person. Two risks can be certified: "wrong"
is the share of wrong answers among those that models gave, "loss" is the mean loss against always asking the top rung.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from inhouse.files import replacing
from inhouse.types import Record
from inhouse.verdict import read_versioned

FILE = "cascade.json"
MAJOR = 1
NEVER = 2.0  # a threshold that no score reaches; scores are in [0, 1]
RiskName = Literal["wrong", "loss"]


class Certificate(Record):
    """With confidence 1 - delta, the risk of a cascade with these thresholds is at most `target`, if `passed`.

    Attributes:
        risk: which one.
        target: its largest value.
        delta: probability that the certificate is wrong, over draws of the questions.
        n: questions that it rests on; for "wrong" those that models answered. They were used for nothing else.
        observed: the risk on these.
        bound: its upper confidence bound. It is that of the thresholds; if none passed, of the first that were tried.
        method: of the bound.
        thresholds: one for each rung but the top; all NEVER if none passed.
        digests: of what it holds for, by name, such as model, index, prompt, data and guardrails.
    """

    risk: RiskName
    target: float
    delta: float
    n: int
    observed: float
    bound: float
    method: str
    thresholds: tuple[float, ...]
    passed: bool
    digests: Mapping[str, str] = {}

    def void(self, now: Mapping[str, str], among: Iterable[str] = ()) -> str:
        """The names of what has changed since, as "index, model"; "" if nothing has. With `among` only these are
        compared."""
        names = sorted(among or self.digests.keys() | now.keys())
        return ", ".join(name for name in names if self.digests.get(name) != now.get(name))


class Feasibility(Record):
    """What a target takes, whatever the scores say, as known before thresholds are fitted.

    Attributes:
        error: for "wrong" the share of questions that no rung below the top gets right; for "loss" the mean loss
            against the top rung if for each question the best of those answered.
        smallest_share_up: the share of questions that must go up to the top rung; 0 if none must.
        labels_needed: pairs: that many questions suffice with so many wrong among them.
        labels: the questions there are for the certificate.
    """

    risk: RiskName
    error: float
    target: float
    smallest_share_up: float
    labels_needed: tuple[tuple[int, int], ...]
    labels: int = 0

    @property
    def sentence(self) -> str:
        """In words."""
        few = self.labels_needed[0][1]
        lack = f"; there are {self.labels}, too few" if self.labels < few else ""
        needed = ", ".join(f"{n} with {errors} wrong" for errors, n in self.labels_needed)
        if self.risk == "wrong":
            line = f"At most {_percent(self.target)} wrong: every rung below the top is wrong on {_percent(self.error)}"
        else:
            line = f"At most {100 * self.target:.1f} points lost: the rungs below the top lose {100 * self.error:.1f}"
        up = f"at least {_percent(self.smallest_share_up)} must go up" if self.smallest_share_up else "none must go up"
        return f"{line}, so {up}. Questions needed: {needed}{lack}."


class RungResult(Record):
    """What one rung did at the thresholds that are served; None is what was not measured.

    Attributes:
        share: of the questions that it answered.
        right: share of its answers that are right; None if it gave none.
        error: share that it gets wrong if it answers everything.
        usd: mean cost of asking it once.
        p50_ms, p95_ms, first_token_ms: of its own answer, without waiting for those below; the last is a median.
    """

    name: str
    kind: Literal["model", "person"] = "model"
    share: float
    right: float | None
    error: float
    usd: float
    p50_ms: float | None = None
    p95_ms: float | None = None
    first_token_ms: float | None = None


class CurvePoint(Record):
    """A cascade with these thresholds, on the questions of the certificate.

    `share_up` goes to the top rung, `usd` is the mean cost of a question, `quality` the share of right answers with its
    95 % interval (a person's are right), `wrong` that of wrong ones among those that models gave, None without any, and
    `loss` the mean loss against the top rung.
    """

    thresholds: tuple[float, ...]
    share_up: float
    usd: float
    quality: float
    low: float
    high: float
    wrong: float | None
    loss: float


class CascadeReport(Record):
    """A cascade with its certificates. The certificates share thresholds and hold together: each with 1 - delta.

    Attributes:
        rungs: from the cheapest to the top one, at the certified thresholds.
        curve: from the most expensive cascade to the cheapest.
        certified: at the certified thresholds; None if no thresholds are.
        plain: at the thresholds whose observed risks meet the targets, without a bound; nothing is known of them.
        top: the top rung alone.
        recommendation: in words, beginning with "Cascade" or "Do not cascade".
        questions: by split: "selection" and "certificate".
    """

    version: str = f"{MAJOR}.0"
    rungs: tuple[RungResult, ...]
    certificates: tuple[Certificate, ...]
    feasibility: tuple[Feasibility, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    certified: CurvePoint | None = None
    plain: CurvePoint | None = None
    top: CurvePoint
    recommendation: str = ""
    questions: Mapping[str, int] = {}

    @property
    def thresholds(self) -> tuple[float, ...]:
        """What may be served: the certified thresholds, or those that always ask the top rung."""
        return self.certified.thresholds if self.certified else (NEVER,) * (len(self.rungs) - 1)

    def void(self, now: Mapping[str, str], among: Iterable[str] = ()) -> str:
        """The names of what has changed since the certificates were made; "" if nothing has."""
        return next((changed for c in self.certificates if (changed := c.void(now, among))), "")

    def write(self, folder: Path) -> Path:
        """Writes cascade.json in the folder, whole or not at all."""
        file = folder / FILE
        with replacing(file) as partial:
            partial.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return file

    @classmethod
    def read(cls, folder: Path) -> CascadeReport:
        """The report in an artifact's folder.

        Raises:
            InputError: the file is gone or damaged, or a newer or older program wrote it.
        """
        return read_versioned(cls, folder / FILE, MAJOR, "`inhouse cascade fit` writes it again")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
