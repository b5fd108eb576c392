"""What `inhouse audit-data` finds: contradictions and gaps that are planted into copies of the examples.

The rules were written with the bank. The contradictions of salon and clinic were written down before anything was tried
on them; the blind figures are from then, and the misses were looked at once. Beside every set of contradictions stand
statements that repeat what other documents say, which must not be reported.

    python benchmarks/audit_data.py
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"

BANK_FILES = {
    "policies/fees-2024.md": """# Fees 2024

| Service | Fee |
|---|---|
| Alder Checking, monthly fee | $8.20 |
| Outgoing domestic wire | $25 |
| Overdraft, each item | $22 |
| Replacement debit card | $6.75 |
| Stop payment | $16 |
| Small safe deposit box, each year | $48 |
""",
    "policies/newsletter.md": """# Spring newsletter

The Summit Card now costs $95 a year. You can deposit $4,000 a day by phone. Payroll costs $26 a month plus $3.15 for
each employee. Counting coins is free for customers up to $150 a day.
""",
    "digital/questions.md": """# Questions and answers

### How long can I dispute a charge?

You can dispute a card charge within 45 days of the statement date.

### When are branches open?

Branches are open Monday to Friday 9 am to 4 pm.

### Is Stonebridge open on Saturdays?

Stonebridge is open on Saturdays.

### Does an external transfer cost anything?

An external transfer costs $1.50.

### How long do you keep my data?

We keep account data for 10 years after an account is closed.

### How soon do I get the money of a personal loan?

The money is in your account 2 business days after you sign.
""",
}
BANK = [  # file of the new statement, part of it, file of the old one
    ("policies/fees-2024.md", "Alder Checking", "accounts/alder-checking.md"),
    ("policies/fees-2024.md", "domestic wire", "payments/wire-transfers.md"),
    ("policies/fees-2024.md", "Overdraft", "accounts/overdraft.md"),
    ("policies/newsletter.md", "Summit", "cards/summit-credit-card.pdf"),
    ("policies/newsletter.md", "$4,000", "payments/mobile-deposit.md"),
    ("digital/questions.md", "45 days", "cards/card-disputes.md"),
    ("digital/questions.md", "4 pm", "policies/branches.md"),
    ("digital/questions.md", "Stonebridge", "policies/branches.md"),
    ("digital/questions.md", "$1.50", "payments/external-transfers.md"),
    ("digital/questions.md", "10 years", "policies/privacy-policy.md"),
]
SALON_FILES = {
    "welcome-letter.md": """# Welcome letter

Cancelling is free until 48 hours before your appointment. Gift cards are valid for 2 years. Highlights cost $155. On
Thursday and Friday we close at 6 pm. You may bring a small dog on Saturdays. Tips go to the stylist in full. We correct
a color or haircut free of charge within 7 days.
""",
    "staff-notes.md": """# Notes for the front desk

- Parking behind the library is free for 3 hours.
- New color clients need a patch test at least 24 hours before the appointment.
- Unopened products can be returned within 30 days with the receipt.
- We accept checks.
- A manicure takes 60 minutes.
- Bus 7 stops 3 minutes from the salon.
- A kids' haircut costs $26.
- A gift card above $100 takes up to 1 business day.
""",
}
SALON = [
    ("welcome-letter.md", "48 hours", "changes-and-cancellations.md"),
    ("welcome-letter.md", "2 years", "gift-cards.md"),
    ("welcome-letter.md", "$155", "services-and-prices.md"),
    ("welcome-letter.md", "6 pm", "hours-and-location.md"),
    ("welcome-letter.md", "dog", "children-and-groups.md"),
    ("staff-notes.md", "3 hours", "hours-and-location.md"),
    ("staff-notes.md", "24 hours", "color-and-allergies.md"),
    ("staff-notes.md", "30 days", "payment-and-products.md"),
    ("staff-notes.md", "checks", "payment-and-products.md"),
    ("staff-notes.md", "60 minutes", "services-and-prices.md"),
]
CLINIC_FILES = {
    "clinic/patient-letter.md": """# Letter to new patients

Copies of your records are ready within 10 business days. A refill is ready within 4 business days. Records are kept for
10 years after the last visit. A late payment costs $15. Visits can be booked up to 90 days ahead. Walk-in visits are
possible at Harbor on Saturday from 9 am to 10 am. Home delivery of a refill costs $4.
""",
    "costs/price-sheet.md": """# Price sheet

| Service | Price |
|---|---|
| check-up | $150 |
| skin check | $160 |
| physical therapy | $105 |
| flu shot | $35 |
""",
    "clinic/faq.md": """# Questions and answers

### When is Hilltop open?

Hilltop is open Monday to Friday from 8 am to 6 pm.

### Where is Unionwell accepted?

Unionwell is accepted at Center.

### How long is a referral valid?

A referral is valid for 60 days.

### How long is a visit?

Each visit is planned with 30 minutes.
""",
}
CLINIC = [
    ("clinic/patient-letter.md", "Copies", "records/records.md"),
    ("clinic/patient-letter.md", "refill is ready", "records/refills.md"),
    ("clinic/patient-letter.md", "10 years", "records/records.md"),
    ("clinic/patient-letter.md", "$15", "costs/billing.md"),
    ("clinic/patient-letter.md", "90 days", "clinic/visits.md"),
    ("costs/price-sheet.md", "check-up", "costs/prices.md"),
    ("costs/price-sheet.md", "therapy", "costs/prices.md"),
    ("clinic/faq.md", "Hilltop", "clinic/locations.md"),
    ("clinic/faq.md", "Unionwell", "costs/insurance.md"),
    ("clinic/faq.md", "referral", "costs/insurance.md"),
]
PLANTED = {
    "first_national_bank": (BANK_FILES, BANK, "rules written with it"),
    "salon": (SALON_FILES, SALON, "blind 3, then a second look"),
    "clinic": (CLINIC_FILES, CLINIC, "blind 5, then a second look"),
}
REMOVED = [
    "business/safe-deposit-boxes.md", "business/payroll.md", "business/card-readers.html", "policies/notary.txt",
    "cards/travel-notice.txt", "accounts/student-account.md", "policies/power-of-attorney.md",
    "lending/home-equity-line.md", "payments/mobile-deposit.md", "lending/co-signers.md",
]  # fmt: skip
QUESTIONS = 400
SIMULATED, ASKED = 60, 300
SLOPE = 0.5


def copy_of(example: str, folder: Path) -> Path:
    """The example without what was built in it."""
    target = folder / example
    shutil.copytree(EXAMPLES / example, target, ignore=shutil.ignore_patterns(".inhouse"))
    return target


# --- contradictions -----------------------------------------------------------------------------------------------


def planted(example: str, folder: Path) -> dict[str, Any]:
    """How many planted contradictions of an example are found, and what else is reported."""
    from inhouse.assembly.workspace import Workspace
    from inhouse.config.load import load_project
    from inhouse.documents.contradictions import contradictions
    from inhouse.pipeline.stages import ingest

    files, plan, about = PLANTED[example]
    project = copy_of(example, folder)

    def found() -> tuple[list[tuple[set[str], str]], float]:
        workspace = Workspace(load_project(project, {}))
        documents = workspace.documents(ingest(workspace))
        started = time.perf_counter()
        rows = contradictions(documents, workspace.embedder)
        seconds = time.perf_counter() - started
        return [({documents[n].source for n in r.documents}, " ".join(r.texts)) for r in rows], seconds

    before, _ = found()
    for name, text in files.items():
        (project / "documents" / name).write_text(text, encoding="utf-8")
    after, seconds = found()
    hits = {
        n
        for n, (new, part, old) in enumerate(plan)
        if any({new, old} == where and part in text for where, text in after)
    }
    right = sum(any({new, old} == where and part in text for new, part, old in plan) for where, text in after)
    missed = [plan[n][1] for n in range(len(plan)) if n not in hits]
    return {"example": example, "rules": about, "planted": len(plan), "found": len(hits), "false": len(after) - right,
            "false_without": len(before), "missed": missed, "seconds": round(seconds, 2)}  # fmt: skip


# --- gaps -----------------------------------------------------------------------------------------------------------


def gaps(folder: Path) -> dict[str, Any]:
    """Documents of the bank are removed; how many of them the gaps name, and how many gaps are of other things.

    The truth is the first document whose passage answered the question by itself before.
    """
    import random
    from collections import Counter

    from inhouse.assembly.workspace import Workspace
    from inhouse.config.load import load_project
    from inhouse.datasets.conversations import read_conversations
    from inhouse.datasets.coverage import Judged, clusters, judge
    from inhouse.datasets.examples import cut
    from inhouse.datasets.filter import faults
    from inhouse.pipeline.stages import index
    from inhouse.routing.acts import is_courtesy

    project = copy_of("first_national_bank", folder)

    def judged() -> tuple[Workspace, list[Judged]]:
        workspace = Workspace(load_project(project, {}))
        opened = workspace.index(index(workspace), None)
        grounding, settings = workspace.grounding(opened), workspace.project.curation
        logs, _ = read_conversations([workspace.project.path(n) for n in settings.conversations], settings.where)
        every = [e for c in logs for e in cut(c, is_courtesy, settings.most_replies).examples]
        bad = faults(every, settings)
        usable = [e for n, e in enumerate(every) if n not in bad]
        drawn = random.Random(0).sample(usable, min(QUESTIONS, len(usable)))
        return workspace, [
            judge(e, grounding.passages(e.messages), [h.passage for h in opened.search(f"{e.question} {e.target}", 10)],
                  workspace.support)
            for e in drawn
        ]  # fmt: skip

    workspace, before = judged()
    opened = workspace.index(index(workspace), None)
    owner: dict[str, str] = {}
    for j in before:
        for hit in opened.search(f"{j.example.question} {j.example.target}", 10) if j.state == "answered" else ():
            if judge(j.example, [hit.passage], [], workspace.support).state == "answered":
                owner.setdefault(j.example.id, hit.passage.source)
    for name in REMOVED:
        (project / "documents" / name).unlink()
    workspace, after = judged()
    missing = [j for j in after if j.state == "missing"]
    truth = {id for id, source in owner.items() if source in REMOVED}
    named: Counter[str] = Counter()
    false = 0
    found = clusters(missing, workspace.embedder)
    for cluster in found:
        owners = Counter(owner.get(e.id, "") for e in cluster.questions)
        source, count = owners.most_common(1)[0]
        if source in REMOVED and count > len(cluster.questions) / 2:
            named[source] += 1
        else:
            false += 1
    hit = {j.example.id for j in missing}
    asked = {owner[id] for id in truth}
    return {"removed": len(REMOVED), "asked_about": len(asked), "named": len(named), "clusters": len(found),
            "false_clusters": false, "questions": len(truth), "questions_found": len(hit & truth),
            "questions_false": len(hit - truth), "of": len(after)}  # fmt: skip


# --- learning curve -------------------------------------------------------------------------------------------------


def curves() -> dict[str, Any]:
    """Simulated verdicts whose accuracy does or does not depend on the training examples near a question."""
    import numpy as np

    from inhouse.evaluation.learning import _Row, _slope

    results: dict[str, Any] = {"simulated": SIMULATED, "questions": ASKED, "slope": SLOPE}
    for name, slope in (("none", 0.0), ("some", SLOPE)):
        claimed = covered = 0
        for seed in range(SIMULATED):
            rng = np.random.default_rng(seed)
            near = rng.geometric(0.12, ASKED) - 1
            without = rng.random(ASKED) < 0.45
            chance = 1 / (1 + np.exp(-(-1.2 + slope * np.log2(1 + near) + 1.0 * without)))
            right = rng.random(ASKED) < chance
            rows = [_Row("", int(n), float(r), float(w)) for n, r, w in zip(near, right, without, strict=True)]
            e, _ = _slope(rows, seed)
            claimed += e.low > 0
            covered += e.low <= slope <= e.high
        results[name] = {"claims": claimed / SIMULATED, "covers": covered / SIMULATED}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("contradictions", "gaps", "curves"))
    parser.add_argument("--quick", action="store_true", help="the learning curves alone")
    given = parser.parse_args()
    only = "curves" if given.quick else given.only
    results: dict[str, Any] = {}
    file = HERE / "results" / "audit_data.json"
    if file.exists():
        results = json.loads(file.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        if only in (None, "contradictions"):
            results["contradictions"] = [planted(name, Path(folder)) for name in PLANTED]
        if only in (None, "gaps"):
            results["gaps"] = gaps(Path(folder) / "gaps")
    if only in (None, "curves"):
        results["curves"] = curves()
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for row in results.get("contradictions", ()):
        print(f"{row['example']:20} ({row['rules']}): {row['found']} of {row['planted']} planted contradictions found, "
              f"{row['false']} false, {row['false_without']} before planting; missed: "
              f"{', '.join(row['missed']) or 'none'}")  # fmt: skip
    if g := results.get("gaps"):
        print(f"gaps: {g['named']} of {g['asked_about']} removed documents that were asked about are named, by "
              f"{g['clusters']} clusters of which {g['false_clusters']} are false; {g['questions_found']} of "
              f"{g['questions']} questions, and {g['questions_false']} others of {g['of']}")  # fmt: skip
    if c := results.get("curves"):
        for name in ("none", "some"):
            print(f"learning curve, effect {name}: claimed in {c[name]['claims']:.0%}, interval covers the truth in "
                  f"{c[name]['covers']:.0%} of {c['simulated']}")  # fmt: skip


if __name__ == "__main__":
    main()
