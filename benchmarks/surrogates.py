"""Surrogates: is what comes back as if nothing had been replaced, and does anything personal leave?

Generated requests with planted values, of messages, calls of tools, their results, and schemas, are answered by a
model "elsewhere" that echoes them as text and as arguments of tools, cut at random places. Checked without the code
under test: the restored answer is compared byte for byte with that of the same echo without surrogates, where the
planted values that never leave are replaced by their marks; and every planted value is searched for in what left, in
any case and any grouping of digits. Values are planted, so `--find planted` knows where they are and tests the way
there and back; `--find real` finds them with the recognizers and counts what these miss.

    python benchmarks/surrogates.py --requests 10000
    python benchmarks/surrogates.py --requests 300 --find real --project PROJECT
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator, Sequence

from faker import Faker

from inhouse.chat import ChatEvent, ChatRequest, Delta, Egress, Finish
from inhouse.routing.private import Find, Private, Rules
from inhouse.types import Message, Span

SEED = 7
NEVER = {"CARD_NUMBER": "[card number removed]", "IBAN": "[iban removed]", "SSN": "[ssn removed]"}
SAYS = (
    "My name is {PERSON}.", "Please call {PERSON} at {PHONE}.", "Write to {EMAIL}, not to {EMAIL}.",
    "My card is {CARD_NUMBER}.", "I live at {ADDRESS}", "My SSN: {SSN}", "Transfer it to {IBAN}, please.",
    "What does a wire transfer cost?", "{PERSON} and {PERSON} share the account.", "From {IP_ADDRESS}, {PERSON} here.",
)  # fmt: skip


class Planted:
    """A generated request, and the values in it by kind."""

    def __init__(self, faker: Faker, chance: random.Random) -> None:
        self.values: dict[str, str] = {}
        self._faker, self._chance = faker, chance
        texts = [self._text() for _ in range(chance.randint(1, 5))]
        messages = [Message(role="user" if n % 2 == 0 else "assistant", content=t) for n, t in enumerate(texts)]
        if chance.random() < 0.5:
            said = json.dumps({"note": self._text(), "to": [self._text()]}, ensure_ascii=chance.random() < 0.5)
            call = {"id": "c1", "type": "function", "function": {"name": "note", "arguments": said}}
            result = json.dumps({"found": self._text()}, ensure_ascii=False)
            messages += [Message(role="assistant", content="", tool_calls=(call,)),
                         Message(role="tool", content=result, tool_call_id="c1")]  # fmt: skip
        self.request = ChatRequest(messages=tuple(messages), user=f"u{chance.randint(1, 50)}")

    def _text(self) -> str:
        parts = self._chance.choices(SAYS, k=self._chance.randint(1, 4))
        return " ".join(re.sub(r"\{([A-Z_]+)\}", lambda m: self._value(m[1]), p) for p in parts)

    def _value(self, kind: str) -> str:
        f, same = self._faker, [v for v, k in self.values.items() if k == kind]
        if same and self._chance.random() < 0.4:
            return self._chance.choice(same)
        number = self._chance.randint
        made = {
            "PERSON": lambda: self._cased(f"{f.first_name()} {f.last_name()}"), "PHONE": f.phone_number,
            "CARD_NUMBER": f.credit_card_number, "ADDRESS": lambda: f.street_address().replace("\n", ", "),
            "SSN": lambda: f"{number(100, 665)}-{number(10, 99)}-{number(1000, 9999)}",
            "IBAN": f.iban, "IP_ADDRESS": f.ipv4, "EMAIL": f.email,
        }[kind]()  # fmt: skip
        self.values[made] = kind
        return made

    def _cased(self, name: str) -> str:
        return self._chance.choice((name, name, name, name.upper(), name.lower()))


class Echo:
    """Echoes all texts of a request, and as arguments of a call, in pieces of 1 to 12 characters."""

    name = "echo"

    def __init__(self, seed: int, ascii_only: bool) -> None:
        self._chance, self._ascii = random.Random(seed), ascii_only
        self.sent = ""

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        self.sent = json.dumps(request.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
        text, arguments = echoed(request, self._ascii)
        for piece in self._pieces(text):
            yield Delta(text=piece)
        for piece in self._pieces(arguments):
            yield Delta(text="", tool_calls=({"index": 0, "function": {"arguments": piece}},))
        yield Finish(reason="stop")

    def _pieces(self, text: str) -> list[str]:
        done, at = [], 0
        while at < len(text):
            size = self._chance.randint(1, 12)
            done.append(text[at : at + size])
            at += size
        return done


def echoed(request: ChatRequest, ascii_only: bool) -> tuple[str, str]:
    said = [m.content for m in request.messages if m.role != "tool"]
    calls = [json.loads(c["function"]["arguments"]) for m in request.messages for c in m.tool_calls]
    results = [json.loads(m.content) for m in request.messages if m.role == "tool"]
    return "\n".join(said), json.dumps({"said": said, "calls": calls, "results": results}, ensure_ascii=ascii_only)


def reference(planted: Planted, ascii_only: bool) -> tuple[str, str]:
    """What the echo says without surrogates, with the marks of what never leaves."""
    texts = echoed(planted.request, ascii_only)
    for value, kind in sorted(planted.values.items(), key=lambda p: -len(p[0])):
        if kind in NEVER:
            texts = texts[0].replace(value, NEVER[kind]), texts[1].replace(value, NEVER[kind])
    return texts


def finder(values: dict[str, str]) -> Find:
    """Finds the planted values, the longest first."""
    pattern = re.compile("|".join(re.escape(v) for v in sorted(values, key=len, reverse=True)) or r"(?!)")

    def find(messages: Sequence[Message]) -> list[list[Span]]:
        return [[Span(m.start(), m.end(), values[m[0]]) for m in pattern.finditer(t.content)] for t in messages]

    return find


def leaked(planted: Planted, sent: str) -> list[str]:
    """The planted values that left: names by their words, others in any grouping of digits and any case."""
    low, digits = sent.lower(), re.sub(r"(?<=\d)[ .()/-]{1,2}(?=\d)", "", sent)
    found = []
    for value, kind in planted.values.items():
        number = re.sub(r"\D", "", value)
        if value.lower() in low or (kind in NEVER and len(number) >= 8 and number in digits):
            found.append(kind)
    return found


async def answered(model: Private, request: ChatRequest) -> tuple[str, str]:
    text = arguments = ""
    async for event in model.stream(request):
        if isinstance(event, Delta):
            text += event.text
            arguments += "".join(c["function"].get("arguments", "") for c in event.tool_calls)
    return text, arguments


async def nothing(egress: Egress) -> None:
    """The audit log is measured elsewhere (benchmarks/durability.py)."""


async def first_ms(model: object, request: ChatRequest) -> float:
    began = time.perf_counter()
    async for event in model.stream(request):  # type: ignore[attr-defined]
        if isinstance(event, Delta):
            return 1000 * (time.perf_counter() - began)
    return 1000 * (time.perf_counter() - began)


async def measure(requests: int, real: Find | None) -> dict[str, object]:
    faker, chance = Faker(["en_US", "de_DE", "fr_FR", "es_ES"]), random.Random(SEED)
    Faker.seed(SEED)
    differ, leaks, structured = 0, 0, 0
    slower: list[float] = []
    clear: list[float] = []
    busy: list[float] = []
    example = ""
    for n in range(requests):
        planted = Planted(faker, chance)
        ascii_only = n % 2 == 0
        echo = Echo(n, ascii_only)
        model = Private(
            "elsewhere", echo, None, real or finder(planted.values), Rules("surrogates"), b"s" * 32, nothing
        )
        got, meant = await answered(model, planted.request), reference(planted, ascii_only)
        if got != meant:
            differ += 1
            example = example or f"request {n}: {got!r} is not {meant!r}"
        kinds = leaked(planted, echo.sent)
        leaks, structured = leaks + bool(kinds), structured + sum(k in NEVER for k in kinds)
        if n % 10 == 0:
            slower.append(await first_ms(model, planted.request))
            began = time.process_time()
            model.leaving(planted.request, "surrogates")
            busy.append(1000 * (time.process_time() - began))
            clear.append(await first_ms(Echo(n, ascii_only), planted.request))
    more = sorted(a - b for a, b in zip(slower, clear, strict=True))
    busy.sort()
    return {
        "requests": requests, "not byte for byte": differ, "with a planted value in what left": leaks,
        "structured identifiers in what left": structured, "first byte later, ms, p50 and p99": _of(more),
        "of it processor time, ms, p50 and p99": _of(busy), "first difference": example[:2000],
    }  # fmt: skip


def _of(values: Sequence[float]) -> str:
    return f"{values[len(values) // 2]:.2f} and {values[int(len(values) * 0.99)]:.2f}"


def recognizers(project: str) -> Find:
    from pathlib import Path

    from inhouse.assembly.guard import Parts
    from inhouse.assembly.workspace import Workspace
    from inhouse.config.load import load_project
    from inhouse.guardrails.classifier import TAGGER
    from inhouse.guardrails.pii import DEFAULT_KINDS, Pii
    from inhouse.privacy.tagger import read_tagger

    workspace = Workspace(load_project(Path(project), {}))
    return Pii(
        Parts(workspace, workspace.project).finder(), read_tagger(TAGGER), (*DEFAULT_KINDS, "ORDER_NUMBER")
    ).spans


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--find", choices=("planted", "real"), default="planted")
    parser.add_argument("--project", default="examples/bank")
    options = parser.parse_args()
    real = recognizers(options.project) if options.find == "real" else None
    for name, value in asyncio.run(measure(options.requests, real)).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
