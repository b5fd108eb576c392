"""Takes the screenshots of home, quality, drift, costs, and incidents, light, dark, and on a phone.

    python benchmarks/watch_loop.py --project examples/first_national_bank --keep
    python docs/console/watch_screenshots.py FOLDER

FOLDER is what the loop kept. Its server answers every test question and some about a service that no document knows.
These answers are then appended to the audit log as six weeks of traffic with earlier times, the questions about the
service in the last days only. Two reviewers rate what is drawn each week: one as the reference of the question says,
the other differently one time in eight. Needs Chromium, playwright, and Pillow.
"""

import asyncio
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.config.load import load_project
from inhouse.monitoring.quality import monday
from inhouse.serving.drift import look
from inhouse.serving.quality import figures
from inhouse.serving.releases import Releases, label
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger
from inhouse.store.ratings import Ratings, second
from inhouse.types import Example

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))
import extractive  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
DAYS, PER_DAY, NEW_DAYS, NEW = 42, 150, 3, 0.2  # of the traffic; days and share of the questions about the service
SERVICE = [
    "Can I send money with just a phone number?", "Do you have instant payments to a phone number?",
    "How do I pay a friend by phone number?", "Is there a fee for instant phone payments?",
    "What is the limit of instant phone payments?", "Which banks take your instant phone payments?",
    "Can I pay by phone number in seconds?", "My instant phone payment went to the wrong number, what now?",
]  # fmt: skip
SETTINGS = """
[costs]
machine_usd_per_hour = 0.35
person_usd_per_hour = 30
customization_usd = 4000
custom_usd_per_month = 300

[quality]
labels_per_week = 15
rated_twice = 0.3
"""
PAGES = ("home", "quality", "drift", "costs", "incidents")
LOOKS = {"": (1280, 860, "light"), "-dark": (1280, 860, "dark"), "-phone": (390, 844, "light")}


def started(folder: Path) -> tuple[subprocess.Popen, str]:
    line = [sys.executable, "-m", "inhouse.cli.main", "serve", "--port", "0", "--project", str(folder)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    for text in process.stdout:
        if found := re.search(r"at (http://\S+)/v1", text):
            return process, found[1]
    raise SystemExit("the server did not start")


def answered(url: str, key: str, questions: list[str]) -> list[str]:
    """IDs of the exchanges of the questions, asked four at a time."""

    async def every() -> list[str]:
        slots = asyncio.Semaphore(4)
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=120) as http:

            async def ask(n: int, question: str) -> str:
                body = {"model": "custom", "user": f"first {n}", "messages": [{"role": "user", "content": question}]}
                async with slots:
                    return (await http.post(f"{url}/v1/chat/completions", json=body)).raise_for_status().json()["id"]

            return await asyncio.gather(*(ask(n, q) for n, q in enumerate(questions)))

    return asyncio.run(every())


def traffic(usual: list[Exchange], new: list[Exchange], now: datetime) -> list[Exchange]:
    """Answers at earlier times, by users who come back; fewer on weekends."""
    rng, made = np.random.default_rng(7), []
    weights = np.arange(1, len(usual) + 1) ** -0.5
    for back in range(DAYS, 0, -1):
        begun = now - timedelta(days=back)
        count = round(PER_DAY * (0.4 if begun.weekday() > 4 else 1) * rng.uniform(0.92, 1.08))
        for _ in range(count):
            asked_new = back <= NEW_DAYS and rng.random() < NEW
            of = new[rng.integers(len(new))] if asked_new else usual[rng.choice(len(usual), p=weights / weights.sum())]
            at, slower = begun + timedelta(seconds=rng.uniform(0, 86_400)), rng.lognormal(0, 0.15)
            made.append(of.model_copy(update={
                "id": f"chatcmpl-{rng.bytes(12).hex()}", "at": at.isoformat(timespec="milliseconds"),
                "user": f"customer {rng.integers(1500)}", "latency_s": of.latency_s * slower,
                "cost_usd": of.cost_usd * slower,
            }))  # fmt: skip
    return sorted(made, key=lambda e: e.at)


def rate(workspace: Workspace, ledger: Ledger, right: dict[str, bool], now: datetime) -> None:
    """Two reviewers rate what is drawn of each complete week."""
    rng, ratings, keys = np.random.default_rng(3), Ratings(ledger), Keys(ledger)
    reviewers = [keys.create(name, "reviewer")[0].id for name in ("Ines Okafor", "Tom Brandt")]
    for weeks in range(DAYS // 7 - 1, 0, -1):
        figures(workspace, ledger, monday(now) - timedelta(weeks=weeks - 1))
        for drawn in ratings.waiting(reviewers[0], 0.0, 1000):
            said = right[drawn.exchange_id]
            ratings.add(drawn.exchange_id, reviewers[0], "right" if said else "wrong")
            if second(drawn.exchange_id, workspace.project.quality.rated_twice):
                other = said != (rng.random() < 0.125)
                ratings.add(drawn.exchange_id, reviewers[1], "right" if other else "wrong")


def is_right(answer: str, example: Example | None) -> bool:
    """Whether the answer has what the reference of its question must include."""
    groups = example.checks.must_include if example else ()
    return bool(groups) and all(any(word in answer for word in group) for group in groups)


def seed(folder: Path, key: str) -> None:
    """Asks, writes the traffic, rates, and looks at drift."""
    with (folder / "inhouse.toml").open("a") as file:
        file.write(SETTINGS)
    workspace, now = Workspace(load_project(folder, {})), datetime.now(UTC)
    tests = {e.question: e for e in workspace.examples("test") if len(e.messages) == 1}
    release = label(Releases(workspace).get("production"))
    process, url = started(folder)
    try:
        ids = answered(url, key, [*tests, *SERVICE])
    finally:
        process.terminate()
        process.wait()
    with workspace.ledger() as ledger:
        audit, inbox = Audit(ledger), Inbox(ledger)
        first = [e for id in ids if (e := audit.get(id)) and e.release == release]
        handed = {h.exchange_id for h in inbox.all("waiting")}
        usual = [e for e in first if e.messages[-1].content in tests and e.id not in handed]
        made = traffic(usual, [e for e in first if e.messages[-1].content in SERVICE], now)
        declined = {e.answer for e in first if e.id in handed}

        async def append() -> None:
            for start in range(0, len(made), 200):
                await asyncio.gather(*(audit.append(e) for e in made[start : start + 200]))

        asyncio.run(append())
        for e in made:
            if e.answer in declined:
                inbox.add(e, "declined")
        right = {e.id: is_right(e.answer, tests.get(e.messages[-1].content)) for e in made}
        feedback, rng = Feedback(ledger), np.random.default_rng(5)
        for n in rng.choice(len(made), 300, replace=False):
            e = made[n]
            feedback.add(e.id, e.user, 1 if rng.random() < (0.9 if right[e.id] else 0.45) else -1)
        rate(workspace, ledger, right, now)
        audit.close()
    look(workspace, (now - timedelta(days=DAYS)).isoformat())
    print(f"{len(made):,} requests to {release}, made of answers to {len(ids)} questions")


def shoot(browser: Browser, url: str, key: str) -> None:
    for look_name, (width, height, scheme) in LOOKS.items():
        context = browser.new_context(
            base_url=url, viewport={"width": width, "height": height}, color_scheme=scheme,
            device_scale_factor=1, is_mobile=width < 500,
        )  # fmt: skip
        page = context.new_page()
        page.goto("/console/sign-in")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/console/home")
        page.goto("/console/quality")
        page.get_by_role("heading", name="By week").wait_for(timeout=300_000)  # the first figures take a moment
        for name in PAGES:
            page.goto(f"/console/{name}")
            page.wait_for_load_state("networkidle")
            file = HERE / f"{name}{look_name}.png"
            page.screenshot(path=str(file))
            Image.open(file).convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE).save(file, optimize=True)
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            print(f"{file.name}: {file.stat().st_size // 1024} KB" + (f", {wide} px too wide" if wide > 0 else ""))
        context.close()


def main(folder: Path) -> None:
    project = load_project(folder, {})
    if project.model.engine_url:  # the loop ran with --extractive
        extractive.started(int(project.model.engine_url.rpartition(":")[2]))
    with Workspace(project).ledger() as ledger:
        key = Keys(ledger).create("Ada Lindqvist", "admin")[1]
    if SETTINGS not in (folder / "inhouse.toml").read_text():
        seed(folder, key)
    process, url = started(folder)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            shoot(browser, url, key)
            browser.close()
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
