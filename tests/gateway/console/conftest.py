"""A fictional bank's gateway with its console on loopback, and a real browser that looks at it."""

import asyncio
import math
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn

from inhouse.agents.executor import Executor
from inhouse.chat import Exchange, Finish, Note, Usage
from inhouse.config.sections import Project
from inhouse.documents.picture import page_picture
from inhouse.gateway.app import create_app
from inhouse.gateway.console.seams import (
    ArmFigures,
    Difference,
    DocumentLine,
    Experiment,
    Failure,
    HistoryLine,
    Match,
    Overview,
    Quality,
    Row,
)
from inhouse.gateway.state import State
from inhouse.models.scripted import Scripted
from inhouse.store.audit import Audit
from inhouse.store.calls import StoredCalls
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.traffic import Traffic
from inhouse.store.turns import StoredTurns
from inhouse.types import Checks, Chunk, Estimate, Example, GateRule, Message, Passage, Release, Source
from inhouse.verdict import (
    ArmResult,
    DataFacts,
    Gain,
    GeneralAbility,
    Parity,
    Percentiles,
    Recommendation,
    Report,
    SplitFacts,
    Subject,
)

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."
DOCUMENTS = [
    ("payments/wire-transfers.md", "Wire transfers", "Fees", "An outgoing domestic wire costs $25. Incoming wires are free. Wires sent before 4 p.m. leave the same business day."),
    ("accounts/ridge-checking.md", "Ridge Checking", "Monthly fee", "Ridge Checking costs $8 a month. The fee is waived with a daily balance of $1,500 or a direct deposit of $500."),
    ("accounts/overdraft.md", "Overdraft", "What it costs", "An overdraft costs $28 per item, at most three a day. Transfers from linked savings are free."),
    ("cards/lost-or-stolen-cards.md", "Lost or stolen cards", "What to do", "Lock the card in Alder Mobile at once, then call 555-0142. A new card comes within five business days at no cost."),
    ("lending/business-loans.md", "Business loans", "How to apply", "Bring two years of tax returns and a business plan to any branch. Loans up to $250,000 are decided within ten business days."),
    ("policies/branches.md", "Branches", "Opening hours", "Alder Falls is open Monday to Friday 9 to 5, Saturday 9 to noon. Millbrook is closed on Saturday."),
    ("digital/alder-mobile.md", "Alder Mobile", "Mobile deposit", "Checks up to $5,000 can be deposited by photo. Funds are available the next business day."),
]  # fmt: skip
SECRET = (
    "staff/fee-waiver-authority.md",
    "Fee waiver authority",
    "Limits",
    "Tellers may waive up to $40 without approval.",
)
ASKED = [
    ("What does a wire transfer cost?", "An outgoing domestic wire costs $25. Incoming wires are free.", 0),
    ("Can I avoid the Ridge fee?", "Yes: it is waived with a daily balance of $1,500 or a direct deposit of $500.", 1),
    ("I lost my debit card, what now?", "Lock the card in Alder Mobile at once, then call 555-0142.", 3),
    ("How do I apply for a business loan?", "Bring two years of tax returns and a business plan to any branch.", 4),
    ("Is Millbrook open on Saturday?", "No, Millbrook is closed on Saturday. Alder Falls is open 9 to noon.", 5),
    ("Do you offer student loans for studies abroad?", HANDOFF, None),
]


def chunk(source, title, heading, text, access=()):
    return Chunk(
        document="d" * 64, source=source, title=title, start=0, end=len(text), text=text, heading=heading,
        access=frozenset(access),
    )  # fmt: skip


class Bank:
    """What was built: an Insight over made-up data, which tests may add to."""

    def __init__(self, report):
        self.all = [chunk(*d) for d in DOCUMENTS] + [chunk(*SECRET, access=["staff"])]
        self.failed = [
            ("policies/old-terms.doc", "unsupported file type: .doc"),
            ("cards/rates-2019.pdf", "no text on any of 3 pages: scanned images"),
            ("staff/broken.docx", "not a zip archive"),
        ]
        self.parts = {"train": [], "validation": [], "test": [], "removed": []}
        self.said, self.arms, self._report = {}, {}, report
        self.files = {}  # of documents with pages
        self.agents = None  # a Team
        self.cascaded = None  # a Cascade
        self.figures = Quality(at="2026-11-30T09:00:00+00:00")
        for n, (question, answer, at) in enumerate(ASKED * 3):
            part = ("train", "train", "train", "validation", "test")[n % 5]
            sources = () if at is None else (Source(document=DOCUMENTS[at][0], text=DOCUMENTS[at][3].split(". ")[0]),)
            self.parts[part].append(Row(example=example(f"ex-{n:03}", question, answer, sources)))
        self.parts["removed"].append(
            Row(example=example("ex-900", "hi", "Hello!"), left_out="quality: the reply has fewer than 3 words")
        )

    def _seen(self, groups):
        return [c for c in self.all if not c.access or c.access & groups]

    def documents(self, groups):
        return [
            DocumentLine(source=c.source, title=c.title, chunks=1, access=c.access, trust=c.trust)
            for c in self._seen(groups)
        ]

    def chunks(self, source, groups):
        return [c for c in self._seen(groups) if c.source == source]

    def page(self, source, page, box, groups):
        return page_picture(self.files[source], page, box) if self.chunks(source, groups) else None

    def search(self, query, k, groups):
        words = set(query.lower().split())
        score = {
            id(c): len(words & set(f"{c.title} {c.text}".lower().split())) / len(words) for c in self._seen(groups)
        }
        found = sorted((c for c in self._seen(groups) if score[id(c)]), key=lambda c: -score[id(c)])
        return [Match(chunk=c, score=score[id(c)], dense=score[id(c)] * 0.9, text=score[id(c)]) for c in found[:k]]

    def failures(self, groups):
        return [Failure(path=p, reason=r) for p, r in self.failed if not p.startswith("staff/") or "staff" in groups]

    def report(self):
        return self._report

    def report_page(self):
        return "<!doctype html><title>report</title><h1>Whole report</h1><script>document.title = document.cookie + origin</script>"

    def cascade(self):
        return self.cascaded

    def rows(self, part):
        return self.parts[part]

    def reviews(self):
        return self.said

    def review(self, review):
        self.said[review.id] = review

    def team(self):
        return self.agents

    def quality(self):
        return self.figures

    def overview(self):
        gate = (
            GateRule(
                name="gain",
                passed=True,
                text="accuracy of tuned+rag over base: +31.2 [+24.0, +38.1] points; the interval must start above +2.0",
            ),
            GateRule(name="parity", passed=True, text="the served model matches the trained one"),
        )
        settings = {
            "model": {"base": "smollm2-135m-instruct", "quantization": "q8_0"},
            "retrieval": {"passages": 4, "chunk_tokens": 160},
        }
        releases = tuple(
            Release(
                name="first-national-bank", version=n, arm="tuned+rag", weights=f"{n}b179c95" * 2, adapter=f"{n}77aa01c" * 2, index=f"{n}c0ffee1" * 2,
                report=f"{n}3fd0aa9" * 2, settings=settings, config=f"{n}a5a5b6c" * 8, gate=gate, made_at=f"2026-11-{15 + n}T09:30:00+00:00",
            ) for n in (3, 2, 1)
        )  # fmt: skip
        history = tuple(
            HistoryLine(
                at=f"2026-11-{15 + n}T10:00:00+00:00",
                text=f"Promoted: first-national-bank/{n}",
                production=f"first-national-bank/{n}",
            )
            for n in (1, 2, 3)
        )
        return Overview(production="first-national-bank/3", releases=releases, history=history)

    def live(self):
        if not self.arms:
            return None
        (first, w1), (second, w2) = self.arms.items()
        arms = (
            ArmFigures(
                arm=first,
                weight=w1,
                users=412,
                requests=1290,
                resolved=0.61,
                thumbs_up=0.66,
                escalated=0.171,
                latency_s=0.9,
                usd_per_1000=0.021,
            ),
            ArmFigures(
                arm=second,
                weight=w2,
                users=405,
                requests=1244,
                resolved=0.74,
                thumbs_up=0.81,
                escalated=0.094,
                latency_s=1.6,
                usd_per_1000=0.044,
            ),
        )
        rows = [
            ("Resolved", " points", 13.0, 4.1, 21.9, "better"),
            ("Thumbs up", " points", 15.2, -1.2, 31.0, ""),
            ("Handed to a person", " points", -7.7, -13.0, -2.4, "better"),
            ("Time to answer", "%", 78.0, 55.0, 100.0, "worse"),
        ]
        differences = tuple(
            Difference(metric=m, unit=u, arm=second, mean=x, low=lo, high=hi, shows=shows)
            for m, u, x, lo, hi, shows in rows
        )
        conclusion = (
            f"{second} is better than {first}: the share of resolved requests differs by +13.0 [+4.1, +21.9] points. You may stop "
            "the experiment. But time to answer is worse: +78.0% [+55.0%, +100.0%]."
        )
        return Experiment(
            name="autumn",
            since="2026-11-24T08:00:00+00:00",
            arms=arms,
            differences=differences,
            conclusion=conclusion,
        )

    def candidates(self):
        return ["base", "first-national-bank/3", "first-national-bank/2"]

    def start(self, name, arms):
        self.arms = dict(arms)

    def stop(self):
        self.arms = {}

    def weigh(self, weights):
        self.arms = dict(weights)


def example(id, question, answer, sources=()):
    return Example(
        id=id, messages=(Message(role="user", content=question),), target=answer, sources=sources, group=id,
        checks=Checks(must_include=(("$25", "25 dollars"),)) if "wire" in question else Checks(),
        answerable=answer != HANDOFF, tags=("payments",), time="2026-10-02T11:20:00+00:00",
    )  # fmt: skip


class Teller:
    """A ChatModel with notes as the house's layers give them. `answers` maps a question to its text."""

    def __init__(self, bank, name, release, arm):
        self.bank, self.name, self.release, self.arm, self.answers = bank, name, release, arm, {}
        self.pause_s = 0.0  # between words

    async def stream(self, request):
        question = request.messages[-1].content
        known = {q: a for q, a, _ in ASKED} | self.answers
        text = (
            known.get(question, HANDOFF)
            if self.arm
            else "Fees vary from bank to bank. Please check with your own bank for details."
        )
        yield Note(layer="release", kind="served", data={"release": self.release, "arm": self.arm or "base"})
        passages = []
        if self.arm:
            found = self.bank.search(question, 4, request.groups)
            passages = [
                Passage(
                    source=m.chunk.source,
                    title=m.chunk.title,
                    heading=m.chunk.heading,
                    text=m.chunk.text,
                    score=m.score,
                )
                for m in found
            ]
            yield Note(layer="grounded", kind="passages", data=[p.model_dump() for p in passages])
        async for event in Scripted(lambda _: text, seconds=0.02).stream(request):
            await asyncio.sleep(self.pause_s)
            if isinstance(event, Finish):
                first = text.split(". ")[0] + ("." if ". " in text else "")
                cited = (
                    [{"sentence": first, "passage": 1, "source": passages[0].source, "support": 0.9}]
                    if passages and text != HANDOFF
                    else []
                )
                yield Note(layer="grounded", kind="citations", data=cited)
                event = event.model_copy(update={"confidence": 0.87})
            yield event


class Fleet(dict):
    def names(self):
        return list(self)

    def model(self, name):
        return self[name]

    def trouble(self):
        return ""

    async def refresh(self):
        return False

    async def settle(self, call):
        return await self.executor.settle(call)

    def close(self):
        return None


def a_report():
    """A verdict with plausible figures."""
    means = {"base": 0.18, "prompt": 0.29, "rag": 0.47, "tuned": 0.33, "tuned+rag": 0.58}

    def estimate(mean, half=0.06):
        return Estimate(mean=mean, low=mean - half, high=mean + half, n=120)

    arms = {
        arm: ArmResult(
            metrics={"accuracy": estimate(m), "facts": estimate(m + 0.06), "unsupported": estimate(0.5 - m / 2, 0.05),
                     "rouge_l": estimate(m / 2, 0.03), "tone": estimate(0.5 + m / 2, 0.04)},
            latency_ms=Percentiles(p50=900 + 900 * n, p95=1500 + 1400 * n, p99=2100 + 1500 * n),
            first_token_ms=Percentiles(p50=120 + 150 * n, p95=300, p99=400),
            prompt_tokens=300, answer_tokens=31, usd_per_1000=0.012 + 0.01 * n, seconds=100, failed=0,
        ) for n, (arm, m) in enumerate(means.items())
    }  # fmt: skip
    gains = [Gain(arm=a, over="base", metrics={"accuracy": estimate(m - 0.18, 0.08)}) for a, m in means.items()][1:]
    gains.append(Gain(arm="tuned+rag", over="rag", metrics={"accuracy": estimate(0.11, 0.08)}))
    gains.append(Gain(arm="tuned", over="prompt", metrics={"accuracy": estimate(0.04, 0.09)}))
    worth = "{} is worth its cost over {}: accuracy changes by {} points, and the interval starts above +2.0, the smallest gain that counts."
    sets = {"train": SplitFacts(examples=412), "validation": SplitFacts(examples=61), "test": SplitFacts(examples=120)}
    return Report(
        subject=Subject(
            project="First National Bank",
            base_model="smollm2-135m-instruct",
            data=DataFacts(sets=sets),
            parity=Parity(passed=True),
        ),
        questions=120,
        arms=arms,
        gains=tuple(gains),
        smallest_detectable_gain=0.09,
        general=GeneralAbility(base=0.42, tuned=0.41, change=Estimate(mean=-0.01, low=-0.06, high=0.04, n=60)),
        recommendation=Recommendation(
            arm="tuned+rag",
            sentence="Use the fine-tuned model with retrieval. It gains +40.0 [+32.0, +48.0] points of accuracy over the base model.",
            rules=(
                worth.format("rag", "base", "+29.0 [+21.0, +37.0]"),
                worth.format("tuned+rag", "rag", "+11.0 [+3.0, +19.0]"),
            ),
        ),
    )


class House:
    """The running gateway: its parts, its address, and keys by role."""

    def __init__(self, folder, audit=None, **gateway):
        project = Project.model_validate(
            {"name": "First National Bank", "store": {"path": str(folder)}, "gateway": gateway, "audit": audit or {}}
        )
        self.folder, self.bank = folder, Bank(a_report())
        self.chunk, self.example, self.exchange = chunk, example, exchange
        self.ledger = Ledger(ledger_url(folder))
        self.audit, self.keys, self.inbox = Audit(self.ledger), Keys(self.ledger), Inbox(self.ledger)
        self.feedback = Feedback(self.ledger)
        self.custom = Teller(self.bank, "custom", "first-national-bank/3", "tuned+rag")
        fleet = Fleet(custom=self.custom, base=Teller(self.bank, "base", "base", ""))
        fleet["first-national-bank/3"] = self.custom
        self.fleet, self.calls, self.turns = fleet, StoredCalls(self.ledger), StoredTurns(self.ledger)
        fleet.executor = Executor({}, self.calls)
        self.state = State(
            project=project, fleet=fleet, audit=self.audit, keys=self.keys, inbox=self.inbox, feedback=self.feedback,
            traffic=Traffic(self.ledger), insight=self.bank, calls=self.calls, turns=self.turns,
        )  # fmt: skip
        people = {
            "admin": ("Dana Whitfield", "admin", ["staff"]),
            "reviewer": ("Ines Okafor", "reviewer", []),
            "user": ("Web shop", "user", []),
            "staff": ("Teller desk", "user", ["staff"]),
        }
        self.made = {who: self.keys.create(*told) for who, told in people.items()}
        self.secrets = {who: secret for who, (_, secret) in self.made.items()}
        self._listen()

    def _listen(self):
        self._clients = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(create_app(self.state), log_level="error", lifespan="on", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        until = time.monotonic() + 10
        while not self._server.started and time.monotonic() < until:
            time.sleep(0.01)

    def close(self):
        for client in self._clients:
            client.close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self.audit.close()
        self.ledger.close()

    def client(self, who="", **headers):
        """An HTTP client that is signed in, with the token of its session in `client.token`."""
        client = httpx.Client(base_url=self.url, headers={"accept": "text/html", **headers})
        self._clients.append(client)
        if who:
            page = client.get("/console/sign-in")
            token = field(page.text, "csrf")
            answer = client.post("/console/sign-in", data={"key": self.secrets[who], "csrf": token})
            assert answer.status_code == 303, answer.text
            client.token = field(client.get("/console/playground").text, "csrf")
        return client

    def record(self, *exchanges):
        """Puts exchanges into the audit."""

        async def all_of_them():
            return await asyncio.gather(*(self.audit.append(e) for e in exchanges))

        with ThreadPoolExecutor(1) as thread:  # playwright's loop runs in this one
            return thread.submit(lambda: asyncio.run(all_of_them())).result()


def field(page, name):
    return page.split(f'name="{name}" value="')[1].split('"')[0]


def exchange(id, question="What does a wire transfer cost?", answer="An outgoing domestic wire costs $25.", **more):
    told = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"), "user": "", "key": "", "model": "custom",
        "release": "first-national-bank/3", "arm": "tuned+rag", "reason": "stop", "confidence": 0.86,
        "usage": Usage(prompt_tokens=312, completion_tokens=24), "first_token_s": 0.31, "latency_s": 1.4, "cost_usd": 0.000041,
    } | more  # fmt: skip
    return Exchange(id=id, messages=(Message(role="user", content=question),), answer=answer, **told)


def fill(house):
    """A day and a half of traffic, opinions on it, and an inbox that is worked on."""
    draw = random.Random(5)
    key = house.made["user"][0].id
    now, made = datetime.now(UTC), []
    for n in range(420):
        ago = draw.random() * 36
        busy = 0.5 + 0.5 * math.sin((now - timedelta(hours=ago)).hour / 24 * 2 * math.pi - 2)
        if draw.random() > 0.25 + busy:
            continue
        question, answer, at = draw.choice(ASKED)
        c = None if at is None else house.bank.all[at]
        passages = (
            () if c is None else (Passage(source=c.source, title=c.title, heading=c.heading, text=c.text, score=0.9),)
        )
        base = draw.random() < 0.12
        made.append(exchange(
            f"chatcmpl-{n:032x}", question, answer, user=f"customer-{draw.randint(100, 160)}", key=key, passages=() if base else passages,
            at=(now - timedelta(hours=ago)).isoformat(timespec="milliseconds"), reason=draw.choices(["stop", "length", "error", "cancelled", "refused"], [91, 3, 1, 2, 3])[0],
            citations=[{"sentence": answer.split(". ")[0] + ".", "passage": 1, "source": c.source, "support": 0.91}] if c else [],
            findings=[{"rail": "pii", "side": "input", "action": "pass", "score": 0.02}, {"rail": "groundedness", "side": "output", "action": "pass", "score": 0.94}],
            latency_s=round(0.7 + busy + draw.expovariate(1.6), 3), first_token_s=0.2 + draw.random() / 3, model="base" if base else "custom", release="base" if base else "first-national-bank/3", arm="base" if base else "tuned+rag",
            usage=Usage(prompt_tokens=draw.randint(180, 420), completion_tokens=draw.randint(12, 60)), cost_usd=draw.random() / 9000, confidence=0.6 + draw.random() * 0.39,
        ))  # fmt: skip
    made.sort(key=lambda e: e.at)
    house.record(*made)
    for e in draw.sample(made, 70):
        down = draw.random() < 0.2
        house.feedback.add(
            e.id,
            e.user,
            -1 if down else 1,
            "The fee is wrong, I was charged $30." if down else "",
            draw.choice([None, True, not down]),
        )
    declined = [e for e in made if e.answer == HANDOFF][-9:]
    ids = [house.inbox.add(e, "declined") for e in declined]
    ids.append(house.inbox.add(next(e for e in made if "wire" in e.messages[-1].content), "asked for a person"))
    for id in ids[:2]:
        house.inbox.answer(
            id, "We do not lend for studies abroad, but our personal loans may be used for tuition.", "Ines Okafor"
        )
    house.inbox.approve(ids[0], "Ines Okafor")
    house.inbox.reject(ids[2], "Ines Okafor")
    house.bank.start("autumn", {"base": 50, "first-national-bank/3": 50})
    return house


@pytest.fixture(scope="module")
def house_of():
    """Makes a gateway over a folder, with settings of its own."""
    return House


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The gateway, as good as empty."""
    made = House(tmp_path_factory.mktemp("store"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def busy_house(tmp_path_factory):
    """The gateway after a day of use."""
    made = fill(House(tmp_path_factory.mktemp("busy")))
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser():
    """Chromium; for one module, since its event loop keeps others from running in this thread."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield launched
        launched.close()


class Visit:
    """A browser tab signed in, that keeps what should never happen: dialogs, script errors, console errors."""

    def __init__(self, browser, house, who, **options):
        self.context = browser.new_context(base_url=house.url, **options)
        self.page = self.context.new_page()
        self.trouble = []
        self.page.on("dialog", lambda d: (self.trouble.append(f"dialog: {d.message}"), d.dismiss()))
        self.page.on("pageerror", lambda e: self.trouble.append(f"error: {e}"))
        self.page.on(
            "console", lambda m: self.trouble.append(f"console: {m.text}") if m.type in ("error", "warning") else None
        )
        if who:
            self.page.goto("/console/sign-in")
            self.page.get_by_label("API key").fill(house.secrets[who])
            self.page.get_by_role("button", name="Sign in").click()
            self.page.wait_for_url("**/console/playground")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


@pytest.fixture
def visit(browser):
    def start(house, who, **options):
        return Visit(browser, house, who, **options)

    return start
