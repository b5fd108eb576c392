"""Which tool, with which arguments, or none: models under a grammar, and the caller that is code (agents/calling)."""

import asyncio
import gzip
import json
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

from jsonschema import Draft202012Validator
from small_models import RESULTS, kept, opened

from inhouse.agents.call_grammar import NONE, call_schema
from inhouse.agents.calling import Caller, Calling
from inhouse.agents.structured import Quoting
from inhouse.chat import ChatRequest, Delta, Finish
from inhouse.errors import RefusedError
from inhouse.evaluation.called import RIGHT, call_outcome
from inhouse.evaluation.compare import Sample
from inhouse.types import Message

DATA = Path("/work/shared/data/tools/calls.jsonl.gz")
SYSTEM = """You call tools. Answer with JSON only: {{"tool": NAME, "arguments": {{...}}}} for the one tool that does \
what the user asks, with arguments from the user's message, or {{"tool": "none"}} if no tool does it.

Tools:
{tools}"""


def rows_of(file, most):
    """The rows, or so many of them, of each category as often as in the file; always the same."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    random.Random(7).shuffle(rows)
    return rows[:most]


def parameters_of(row):
    return {t["function"]["name"]: t["function"]["parameters"] for t in row["tools"]}


def by_grammar(chooser, row):
    """The call that the model makes, None for none; whether it is valid; seconds."""
    shown = "\n".join(json.dumps(t["function"], ensure_ascii=False) for t in row["tools"])
    user = "\n".join(m["content"] for m in row["messages"])
    value, seconds = chooser.json(SYSTEM.format(tools=shown), user, call_schema(parameters_of(row)), 300)
    if value is None:
        return None, False, seconds
    if value["tool"] == NONE:
        return None, True, seconds
    call = {"name": value["tool"], "arguments": value["arguments"]}
    return call, is_valid(row, call), seconds


def is_valid(row, call):
    parameters = parameters_of(row)
    return call["name"] in parameters and Draft202012Validator(parameters[call["name"]]).is_valid(call["arguments"])


class NoAnswer:
    """Answers that it does not know, so that the code decides by itself."""

    name = "no answer"

    async def stream(self, request):
        yield Delta(text="I do not know.")
        yield Finish(reason="stop")


def by_code():
    """The caller of the gateway, without a model behind it: what it does not call is answered in words."""
    from inhouse.models.catalog import Catalog
    from inhouse.models.embed import OnnxEmbedder

    embedder = OnnxEmbedder(Catalog().find("minilm-l6-v2", Path()))

    def alike(text, others):
        vectors = embedder.embed([text, *others])
        return [float(v) for v in vectors[1:] @ vectors[0]]

    model = Calling(NoAnswer(), Caller("caller"), Quoting("quoting"), alike, lambda sentence: False)

    async def called(row):
        messages = tuple(Message(role=m["role"], content=m["content"]) for m in row["messages"])
        name, arguments = "", ""
        try:
            async for event in model.stream(ChatRequest(messages=messages, extra={"tools": row["tools"]})):
                if isinstance(event, Delta) and event.tool_calls:
                    function = event.tool_calls[0]["function"]
                    name, arguments = name or function.get("name", ""), arguments + function["arguments"]
        except RefusedError:
            return None
        return {"name": name, "arguments": json.loads(arguments)} if name else None

    def ask(_, row):
        started = time.perf_counter()
        call = asyncio.run(called(row))
        return call, call is None or is_valid(row, call), time.perf_counter() - started

    return ask


def measured(ask, chooser, rows, file):
    """The outcome of each row. They are kept as they come: a run that was stopped goes on; delete the file to ask
    again."""
    RESULTS.mkdir(exist_ok=True)
    earlier = map(json.loads, file.read_text().splitlines()) if file.is_file() else ()
    known, found = {row["id"]: row for row in earlier}, []
    for n, row in enumerate(rows, 1):
        if row["id"] not in known:
            call, valid, seconds = ask(chooser, row)
            outcome = call_outcome(row["expected"], call) if valid else "invalid"
            known[row["id"]] = {"id": row["id"], "category": row["category"], "outcome": outcome, "seconds": seconds}
            with file.open("a") as out:
                out.write(json.dumps(known[row["id"]]) + "\n")
        found.append(known[row["id"]])
        if n % 25 == 0:
            print(f"  {n} of {len(rows)}: {Counter(f['outcome'] for f in found)}", flush=True)
    return found


def told(name, found):
    """Prints a table and returns it."""
    by = defaultdict(list)
    for one in found:
        by[one["category"]].append(one)
    by["all"] = found
    table = {}
    for category, ones in sorted(by.items()):
        right = Sample(7).estimate([float(o["outcome"] in RIGHT) for o in ones])
        table[category] = {"n": right.n, "right": right.mean, "low": right.low, "high": right.high,
                           "outcomes": dict(Counter(o["outcome"] for o in ones))}  # fmt: skip
        print(f"{name:8}{category:16}{right.n:5} {100 * right.mean:5.1f} % ({100 * right.low:.1f} to "
              f"{100 * right.high:.1f})  {table[category]['outcomes']}")  # fmt: skip
    valid = sum(o["outcome"] != "invalid" for o in found)
    p50 = sorted(o["seconds"] for o in found)[len(found) // 2]
    print(f"{name:8}valid calls {valid} of {len(found)}; p50 {p50:.2f} s", flush=True)
    return {"valid": valid, "n": len(found), "p50_s": p50, "categories": table}


def run(sizes, most):
    if not DATA.is_file():
        print(f"{DATA} is missing: skipped")
        return
    for size in sizes:
        rows, file = rows_of(DATA, most), RESULTS / f"agents_tools_{size}.jsonl"
        if size == "code":
            found = measured(by_code(), None, rows, file)
        else:
            with opened(size) as chooser:
                found = measured(by_grammar, chooser, rows, file)
        kept(f"agents_tools_{size}.json", told(size, found) | {"rows": found})
