"""The whole loop of `inhouse watch`, unattended, on a copy of the example bank with a server and a watch running.

    python benchmarks/watch_loop.py --project examples/first_national_bank [--fee] [--keep] [--extractive]

The copy is built with the arms base and rag (no training, so that the loop takes minutes), released, and promoted,
unless that was done before with the same settings. With `--extractive` a stand-in for the model answers
(`extractive.py`): everything else is the same, and a machine that has no time for the model can run the loop.

1. A fee changes in a document. How long until the running server answers with the new one, and does any request fail?
2. Customers ask about a product that no document and no test knows. Does the watch name the topic and ask for answers?
3. A person answers in the inbox, approves, and adds a test. Nothing else is done by hand: the watch indexes the
   replies, builds because that pays, compares with production question by question, starts a canary, and promotes it.
4. Someone wants answers that fit a text message, and sets `guardrails.answer_pattern`. The watch builds that, and the
   gate lets it pass: it counts wrong answers, and an answer that is too long goes to a person. The comparison does not
   if some answers are too long; then it waits, and a person starts the canary all the same. Is it taken back while
   customers ask, does a request fail, and are the audit log, the console, and a webhook told, with evidence?

The prices make a build pay after a few questions (`watch.price_build_usd`), and the first canary is short. Prints what
happened when, and writes `benchmarks/results/watch_loop.json`.
"""

import argparse
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import extractive
import httpx

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.serving.watched import Memory, State
from inhouse.store.audit import Audit
from inhouse.store.inbox import Inbox
from inhouse.store.incidents import incidents
from inhouse.store.keys import Keys

HERE = Path(__file__).parent
MOST_S = 3600  # that a step may take
PORT = 8766  # of the stand-in: the same each time, so that what was built with it is kept
SETTINGS = """
[evaluation]
arms = ["base", "rag"]
max_questions = 30
probes = 0
tasks = []

[guardrails]
rails = ["pii", "links", "injection", "format"]
answer_pattern = '{pattern}'

[release]
arm = "rag"
max_wrong = 1
no_worse = []

[alerts]
webhook = "{webhook}"

[[budget]]
tokens = 2_000_000

[[budget]]
per = "key"
period = "day"
requests = 1000

[watch]
every_minutes = 0.5
documents_every_s = 1
promote = "automatic"
canary_percent = {percent}
canary_hours = {hours}
canary_answers = 10
cooldown_days = 0
price_build_usd = 300
max_retested = 20
sample = 5
"""
FEE, OLD, NEW = "payments/wire-transfers.md", "$21.50", "$24.25"
ASK_FEE = "What do you charge for a domestic wire that I send?"
PRODUCT = [
    "What does the Heron Gold Card cost a year?", "How much is the annual fee of the Heron Gold Card?",
    "Is there a yearly fee on the Heron Gold Card?", "Annual price of the Heron Gold Card please",
    "What do I pay each year for a Heron Gold Card?", "Heron Gold Card annual fee?",
    "Tell me the yearly cost of the Heron Gold Card", "How expensive is the Heron Gold Card per year?",
]  # fmt: skip
REPLY = "The Heron Gold Card costs $94 a year."
USUAL = ["What is the cutoff for a same-day wire?", "How do I report a lost debit card?",
         "What does Alder Checking cost?", "How do I close an account?"]  # fmt: skip


class Receiver(ThreadingHTTPServer):
    """A webhook on loopback that keeps the alerts it gets."""

    def __init__(self) -> None:
        self.alerts: list[dict] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.alerts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """The loop prints what matters."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Loop:
    def __init__(self, folder: Path, engine_url: str = "") -> None:
        self.folder, self.began, self.events = folder, time.monotonic(), []
        self.project, self.webhook = (folder / "inhouse.toml").read_text(), Receiver()
        if engine_url:
            self.project += f'\n[model]\nengine = "vllm"\nengine_url = "{engine_url}"\n'
        self.configure()
        self.failures, self.asked, self.objected = [], 0, []
        self.processes: list[subprocess.Popen] = []

    def configure(self, pattern: str = "", percent: float = 30, hours: float = 0.01) -> None:
        """Writes the project file, as a person edits it."""
        webhook = f"http://127.0.0.1:{self.webhook.server_port}"
        settings = SETTINGS.format(pattern=pattern, percent=percent, hours=hours, webhook=webhook)
        (self.folder / "inhouse.toml").write_text(self.project + settings)
        self.workspace = Workspace(load_project(self.folder, {}))

    def say(self, text: str) -> None:
        at = round(time.monotonic() - self.began, 1)
        self.events.append([at, text])
        print(f"{at:7.1f} s  {text}", flush=True)

    def run(self, *command: str) -> str:
        line = [sys.executable, "-m", "inhouse.cli.main", *command, "--project", str(self.folder)]
        return subprocess.run(line, stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout

    def start(self, *command: str) -> subprocess.Popen:
        line = [sys.executable, "-m", "inhouse.cli.main", *command, "--project", str(self.folder)]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                                   env={**os.environ, "COLUMNS": "300"})  # fmt: skip
        self.processes.append(process)
        return process

    def prepare(self) -> None:
        """Builds, releases, and promotes, unless that was done."""
        if not (self.folder / ".inhouse" / "serving.json").exists():
            for command in (["build"], ["release"], ["release", "promote"]):
                print(self.run(*command), end="", flush=True)
        with self.workspace.ledger() as ledger:
            self.secret = Keys(ledger).create("loop", "admin")[1]
        self.began = time.monotonic()

    def serve(self) -> None:
        process = self.start("serve", "--port", "0")
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"at (http://\S+)/v1", line):
                break
        else:
            raise SystemExit("the server did not start:\n" + "".join(said))
        headers = {"Authorization": f"Bearer {self.secret}"}
        self.http = httpx.Client(base_url=found[1], headers=headers, timeout=120)
        threading.Thread(target=process.stdout.read, daemon=True).start()

    def watch(self) -> subprocess.Popen:
        process = self.start("watch")

        def follow() -> None:
            for line in process.stdout:
                self.say("watch: " + re.sub(r"^\S+ \S+  ", "", line.rstrip()))

        threading.Thread(target=follow, daemon=True).start()
        return process

    def ask(self, question: str, user: str = "loop") -> dict:
        body = {"model": "custom", "messages": [{"role": "user", "content": question}], "user": user, "temperature": 0}
        self.asked += 1
        try:
            return self.call("/v1/chat/completions", body)
        except httpx.HTTPError as error:
            self.failures.append(f"{question}: {error}")
            raise

    def call(self, path: str, body: dict) -> dict:
        return self.http.post(path, json=body).raise_for_status().json()

    def console(self, page: str) -> str:
        """A page of the console, as someone who signs in sees it."""
        with httpx.Client(base_url=self.http.base_url, follow_redirects=True, timeout=60) as browser:
            token = re.search(r'name="csrf" value="([^"]+)"', browser.get("/console/sign-in").text)[1]
            browser.post("/console/sign-in", data={"csrf": token, "key": self.secret}).raise_for_status()
            return browser.get(f"/console/{page}").raise_for_status().text

    def status(self) -> State:
        return Memory(self.workspace.store.root).read()

    def until(self, what: str, holds: Callable[[], bool], every_s: float = 1) -> float:
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > MOST_S:
                raise SystemExit(f"gave up waiting: {what}")
            time.sleep(every_s)
        took = time.monotonic() - began
        self.say(f"{what}: after {took:.0f} s")
        return took

    def serving(self) -> dict:
        return json.loads((self.folder / ".inhouse" / "serving.json").read_text())

    def canaries(self) -> list[str]:
        return [change["subject"] for change in self.serving()["history"] if change["kind"] == "canary"]

    def stop(self) -> None:
        for process in self.processes[::-1]:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(60)
        self.webhook.shutdown()


def text(reply: dict) -> str:
    return reply["choices"][0]["message"]["content"]


def fee(loop: Loop) -> dict:
    file = loop.folder / "documents" / FEE
    before = text(loop.ask(ASK_FEE))
    loop.say(f"answer before: {before}")
    file.write_text(file.read_text().replace(OLD, NEW))
    loop.say(f"{FEE}: {OLD} is now {NEW}")
    what = "the running server answers with the new fee"
    seconds = loop.until(what, lambda: NEW in text(loop.ask(ASK_FEE)), every_s=3)
    after = text(loop.ask(ASK_FEE))
    loop.say(f"answer after: {after}")
    return {"before": before, "after": after, "seconds": seconds, "right": OLD in before and NEW in after}


def asked_about(loop: Loop, questions: list[str], answers: dict[str, str]) -> None:
    """Customers ask about the product, and object to what is not a hand-off and not right."""
    for n, question in enumerate(questions):
        reply = loop.ask(question, f"user {n}")
        answers[question] = text(reply)
        if question not in USUAL and "94" not in answers[question]:
            loop.call("/v1/feedback", {"id": reply["id"], "thumb": -1})
            loop.objected.append(reply["id"])


def product(loop: Loop) -> dict:
    answers: dict[str, str] = {}
    asked_about(loop, [*PRODUCT[:4], *USUAL], answers)
    loop.say(f"4 questions about a product that nobody wrote about; one answer: {answers[PRODUCT[0]]}")

    def named() -> bool:
        return any(w.kind == "labels" and "Heron" in str(w.questions) for w in loop.status().waiting)

    took = loop.until("the watch names the topic and asks for answers", named)
    with loop.workspace.ledger() as ledger:
        inbox, audit = Inbox(ledger), Audit(ledger)
        for id in loop.objected:  # what a customer objected to is handed to a person too
            inbox.add(audit.get(id), "thumb down")
        waiting = [h for h in inbox.all("waiting") if "Heron" in h.messages[-1].content]
        for handoff in waiting:
            inbox.answer(handoff.id, REPLY, "person")
            inbox.approve(handoff.id, "person")
    loop.say(f"a person answered and approved {len(waiting)} of them in the inbox, and added a test")
    with (loop.folder / "tests.jsonl").open("a") as tests:
        row = {"id": "heron", "messages": [{"role": "user", "content": "What is the price of a Heron Gold Card?"}],
               "answer": REPLY, "checks": {"must_include": [["94"]]}}  # fmt: skip
        tests.write(json.dumps(row) + "\n")
    asked_about(loop, PRODUCT[4:], answers)
    loop.say(f"{len(PRODUCT) - 4} more customers asked meanwhile")
    return {"named_s": took, "approved": len(waiting), "before": answers[PRODUCT[0]]}


def promoted(loop: Loop) -> dict:
    first = loop.serving()["production"]
    what = "the server answers from the approved replies"
    indexed = loop.until(what, lambda: "94" in text(loop.ask(PRODUCT[0])), every_s=3)
    loop.say(f"answer: {text(loop.ask(PRODUCT[0]))}")

    built = loop.until("a build passed the gate and is a canary", lambda: bool(loop.canaries()))
    name = loop.canaries()[-1]
    questions = [json.loads(row) for row in (loop.folder / "tests.jsonl").read_text().splitlines()]
    numbers = iter(range(MOST_S))

    def in_production() -> bool:
        """Customers ask meanwhile: a canary that nobody asked is not promoted."""
        n = next(numbers)
        loop.ask(questions[n % len(questions)]["messages"][-1]["content"], f"customer {n}")
        return bool(loop.serving()["production"] == name)

    done = loop.until(f"{name} is in production", in_production)
    return {"production_before": first, "release": name, "indexed_s": indexed, "canary_s": built, "promoted_s": done}


def challenger(loop: Loop, watch: subprocess.Popen, characters: int) -> dict:
    """A release that hands off what is too long for a text message becomes a canary, and customers ask."""
    production, before = loop.serving()["production"], loop.canaries()
    watch.send_signal(signal.SIGTERM)
    watch.wait(60)
    loop.configure(pattern=f".{{0,{characters}}}", percent=50, hours=2)
    loop.run("watch", "mark", "answers must fit a text message")
    loop.say(f"guardrails.answer_pattern lets only answers of {characters} characters pass; the watch is started again")
    loop.watch()

    def waits() -> str:
        return next((w.command for w in loop.status().waiting if "No automatic canary" in w.text), "")

    what = "the challenger passed the gate, and waits since it answers worse, or is a canary"
    built = loop.until(what, lambda: bool(waits()) or loop.canaries() != before)
    if by_person := bool(waits()):
        loop.run(*waits().split()[1:])
    name = loop.canaries()[-1]
    assert loop.canaries() != before
    loop.say(f"{name} is a canary, started {'by a person' if by_person else 'by the watch'}")
    questions = [json.loads(row) for row in (loop.folder / "tests.jsonl").read_text().splitlines()]
    began, asked = time.monotonic(), 0
    while loop.serving()["canary"]:
        if time.monotonic() - began > MOST_S:
            raise SystemExit(f"{name} was not rolled back in {asked} answers")
        loop.ask(questions[asked % len(questions)]["messages"][-1]["content"], f"caller {asked}")
        asked += 1
    took = time.monotonic() - began
    with loop.workspace.ledger() as ledger:
        audit = Audit(ledger)
        incident = incidents(audit, limit=1)[0]
    loop.say(f"{incident.release} was rolled back after {took:.0f} s and {asked} questions: {incident.reason}")
    for n in range(20):
        loop.ask(questions[n]["messages"][-1]["content"], f"later {n}")
    loop.until("the watch has it wait for a person", lambda: name in str(loop.status().waiting))
    told = [alert for alert in loop.webhook.alerts if alert["kind"] == "rollback"]
    with loop.workspace.ledger() as ledger:
        audit = Audit(ledger)
        after = [e.release for _, e in audit.find(since=incident.at, limit=1000) if e.user.startswith("later")]
        chain = audit.verify().ok
    found = {
        "canary": name, "started by a person": by_person,
        "production": loop.serving()["production"], "canary_s": built, "rolled_back_s": took,
        "questions": asked, "incident": incident.model_dump(mode="json"),
        "unchanged production": loop.serving()["production"] == production, "answered after it": sorted(set(after)),
        "in the console": incident.reason in html.unescape(loop.console("incidents")),
        "webhook": told, "audit chain": chain,
    }  # fmt: skip
    loop.say(f"alert to the webhook: {told[0]['title'] if told else 'none'}; in the console: {found['in the console']}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="keep the copy")
    parser.add_argument("--fee", action="store_true", help="only the first part")
    parser.add_argument("--extractive", action="store_true", help="a stand-in answers, which takes a millisecond")
    parser.add_argument("--characters", type=int, default=160, help="of answers that the bad challenger lets pass")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="watch-loop-")) / "bank"
    shutil.copytree(given.project, folder)
    loop = Loop(folder, extractive.started(PORT) if given.extractive else "")
    try:
        loop.prepare()
        loop.serve()
        loop.say(f"serving at {loop.http.base_url}")
        watch = loop.watch()
        found = {"fee": fee(loop)}
        if not given.fee:
            found |= {"product": product(loop), "build": promoted(loop)}
            loop.say(f"answer: {text(loop.ask(PRODUCT[3]))}")
            found |= {"challenger": challenger(loop, watch, given.characters)}
        found |= {"requests": loop.asked, "failed": loop.failures}
    finally:
        loop.stop()
    found["events"], found["alerts"] = loop.events, loop.webhook.alerts
    print(f"\n{loop.asked} requests, {len(loop.failures)} failed; in all {time.monotonic() - loop.began:.0f} s")
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"watch_loop{'_fee' * given.fee}.json").write_text(json.dumps(found, indent=1))
    if given.keep:
        print(folder)
    else:
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
