"""The whole loop of `inhouse watch`, unattended, on a copy of a built project with a server and a watch running.

    python benchmarks/watch_loop.py --project FOLDER [--fee] [--keep]

FOLDER is the example bank after `inhouse build` with the arms base and rag, `inhouse release`, and `inhouse release
promote` (no training, so that the loop takes minutes). It is copied first.

1. A fee changes in a document. How long until the running server answers with the new one, and does any request fail?
2. Customers ask about a product that no document and no test knows. Does the watch name the topic and ask for answers?
3. A person answers in the inbox, approves, and adds a test. Nothing else is done by hand: the watch indexes the
   replies, builds because that pays, compares with production question by question, starts a canary, and promotes it.

The prices make a build pay after a few questions (`watch.price_build_usd`), and the canary is short. Prints what
happened when, and writes `benchmarks/results/watch_loop.json`.
"""

import argparse
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
import urllib.request
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.store.audit import Audit
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys

HERE = Path(__file__).parent
MOST_S = 1800
SETTINGS = """
[evaluation]
arms = ["base", "rag"]
max_questions = 30
probes = 0
tasks = []

[guardrails]
rails = ["pii", "links", "injection", "format"]

[release]
arm = "rag"
max_wrong = 1
no_worse = []

[watch]
every_minutes = 0.5
documents_every_s = 1
promote = "automatic"
canary_percent = 30
canary_hours = 0.01
cooldown_days = 0
price_build_usd = 900
max_retested = 30
sample = 10
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


class Loop:
    def __init__(self, folder: Path) -> None:
        self.folder, self.began, self.events = folder, time.monotonic(), []
        self.workspace = Workspace(load_project(folder, {}))
        with self.workspace.ledger() as ledger:
            self.secret = Keys(ledger).create("loop", "admin")[1]
        self.failures, self.asked, self.objected = [], 0, []
        self.processes: list[subprocess.Popen] = []

    def say(self, text: str) -> None:
        at = round(time.monotonic() - self.began, 1)
        self.events.append([at, text])
        print(f"{at:7.1f} s  {text}", flush=True)

    def start(self, *command: str) -> subprocess.Popen:
        run = [sys.executable, "-m", "inhouse.cli.main", *command, "--project", str(self.folder)]
        process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
                                   env={**os.environ, "COLUMNS": "300"})  # fmt: skip
        self.processes.append(process)
        return process

    def serve(self) -> None:
        process = self.start("serve", "--port", "0")
        for line in process.stdout:
            if found := re.search(r"at (http://\S+)/v1", line):
                self.url = found[1]
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()

    def watch(self) -> None:
        process = self.start("watch")

        def follow() -> None:
            for line in process.stdout:
                self.say("watch: " + re.sub(r"^\S+ \S+  ", "", line.rstrip()))

        threading.Thread(target=follow, daemon=True).start()

    def ask(self, question: str, user: str = "loop") -> dict:
        body = {"model": "custom", "messages": [{"role": "user", "content": question}], "user": user, "temperature": 0}
        try:
            reply = self.call("/v1/chat/completions", body)
        except OSError as error:
            self.failures.append(str(error))
            raise
        self.asked += 1
        return reply

    def call(self, path: str, body: dict) -> dict:
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def status(self) -> dict:
        run = [sys.executable, "-m", "inhouse.cli.main", "watch", "status", "--json", "--project", str(self.folder)]
        return json.loads(subprocess.run(run, capture_output=True, check=True, encoding="utf-8").stdout)

    def until(self, what: str, holds) -> float:
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > MOST_S:
                raise SystemExit(f"gave up waiting: {what}")
            time.sleep(1)
        took = time.monotonic() - began
        self.say(f"{what}: after {took:.0f} s")
        return took

    def serving(self) -> dict:
        return json.loads((self.folder / ".inhouse" / "serving.json").read_text())

    def stop(self) -> None:
        for process in self.processes[::-1]:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(60)


def text(reply: dict) -> str:
    return reply["choices"][0]["message"]["content"]


def fee(loop: Loop) -> dict:
    file = loop.folder / "documents" / FEE
    before = text(loop.ask(ASK_FEE))
    loop.say(f"answer before: {before}")
    file.write_text(file.read_text().replace(OLD, NEW))
    loop.say(f"{FEE}: {OLD} is now {NEW}")
    seconds = loop.until("the running server answers with the new fee", lambda: NEW in text(loop.ask(ASK_FEE)))
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
        return any(w["kind"] == "labels" and "Heron" in str(w["questions"]) for w in loop.status()["waiting"])

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
    indexed = loop.until("the server answers from the approved replies", lambda: "94" in text(loop.ask(PRODUCT[0])))
    loop.say(f"answer: {text(loop.ask(PRODUCT[0]))}")

    def canary() -> bool:
        return any(c["kind"] == "canary" for c in loop.serving()["history"])

    built = loop.until("a build passed the gate and is a canary", canary)
    name = next(c["subject"] for c in loop.serving()["history"] if c["kind"] == "canary")
    done = loop.until(f"{name} is in production", lambda: loop.serving()["production"] == name)
    return {"production_before": first, "release": name, "indexed_s": indexed, "canary_s": built, "promoted_s": done}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="keep the copy")
    parser.add_argument("--fee", action="store_true", help="only the first part")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="watch-loop-")) / "bank"
    shutil.copytree(given.project, folder)
    with (folder / "inhouse.toml").open("a") as settings:
        settings.write(SETTINGS)
    loop = Loop(folder)
    try:
        loop.serve()
        loop.say(f"serving at {loop.url}")
        loop.watch()
        found = {"fee": fee(loop)}
        if not given.fee:
            found |= {"product": product(loop), "build": promoted(loop)}
            loop.say(f"answer: {text(loop.ask(PRODUCT[3]))}")
        found |= {"requests": loop.asked, "failed": loop.failures, "status": loop.status()["decision"]}
    finally:
        loop.stop()
    found["events"] = loop.events
    print(f"\n{loop.asked} requests, {len(loop.failures)} failed; in all {time.monotonic() - loop.began:.0f} s")
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"watch_loop{'_fee' * given.fee}.json").write_text(json.dumps(found, indent=1))
    if given.keep:
        print(folder)
    else:
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
