"""Structured output and tool calls: how many are right, refused, and wrong, and what they cost in time.

    python benchmarks/structured.py PROJECT [--arm tuned+rag] [--show]

PROJECT is a built example bank. Each question of structured.jsonl is asked once in words, and once in each of three
shapes of schemas: a flat object; a nested one as pydantic writes it, with `$ref`, `anyOf` null, and an optional field;
and a list of objects. An answer is right if it has the value in question, refused if it has none, and wrong otherwise;
of the questions that the documents do not answer, only refusals are right. Prints a table, and writes JSON to
`benchmarks/results/structured.json`.
"""

import argparse
import asyncio
import json
import statistics
import time
from functools import partial
from pathlib import Path

from inhouse.assembly.arms import Arms
from inhouse.assembly.guard import Parts, wrapped
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, Delta, Finish
from inhouse.config.load import load_project
from inhouse.pipeline.opened import built_of
from inhouse.types import Message

HERE = Path(__file__).parent


def flat(row):
    parts = {"topic": {"type": "string"}, row["field"]: row["schema"]}
    return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}


def nested(row):
    item = {"type": "object", "properties": {row["field"]: row["schema"], "note": NULLABLE},
            "required": [row["field"]], "title": "Item"}  # fmt: skip
    parts = {"question": {"type": "string"}, "item": {"$ref": "#/$defs/Item"}}
    return {"type": "object", "properties": parts, "required": ["item"], "$defs": {"Item": item}}


def listed(row):
    item = {
        "type": "object",
        "properties": {"name": {"type": "string"}, row["field"]: row["schema"]},
        "required": ["name", row["field"]],
    }
    return {"type": "object", "properties": {"items": {"type": "array", "items": item}}, "required": ["items"]}


NULLABLE = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
SHAPES = {"flat": flat, "nested": nested, "list": listed}


def value_in(shape, row, value):
    """The values in question: one, or for a list all."""
    match shape:
        case "flat":
            return [value[row["field"]]]
        case "nested":
            return [value["item"][row["field"]]]
    return [item[row["field"]] for item in value["items"]]


def outcome(shape, row, text, refused):
    if refused:
        return "refused"
    values = value_in(shape, row, json.loads(text))
    return "right" if row["want"] is not None and row["want"] in values else "wrong"


async def asked(model, question, schema):
    started, parts, reason = time.perf_counter(), [], ""
    request = ChatRequest(messages=(Message(role="user", content=question),), max_tokens=80, json_schema=schema)
    async for event in model.stream(request):
        if isinstance(event, Delta):
            parts.append(event)
        elif isinstance(event, Finish):
            reason = event.reason
    refused = any(p.refusal for p in parts) or reason == "length"
    return "".join(p.text for p in parts), refused, time.perf_counter() - started


def opened(folder, arm):
    workspace = Workspace(load_project(folder))
    latest = workspace.store.latest
    guard = partial(wrapped, Parts(workspace, workspace.project, latest("calibration")))
    made = [latest(kind) for kind in ("weights", "adapter", "folder", "index", "fusion")]
    arms = Arms(built_of(workspace, *made, guard))
    return arms, arms.open(arm)


async def measured(model, rows, show):
    results = {shape: {"right": 0, "refused": 0, "wrong": 0, "refused rightly": 0} for shape in SHAPES}
    seconds = {"text": [], "structured": []}
    for row in rows:
        words, _, spent = await asked(model, row["question"], None)
        seconds["text"].append(spent)
        for shape, make in SHAPES.items():
            text, refused, spent = await asked(model, row["question"], make(row))
            seconds["structured"].append(spent)
            found = outcome(shape, row, text, refused)
            results[shape]["refused rightly" if found == "refused" and row["want"] is None else found] += 1
            if show and (found == "wrong" or (found == "refused" and row["want"] is not None)):
                print(
                    f"{found:8} {shape:7} {row['question']} [{row['field']}] want {row['want']}",
                    words[:150],
                    text[:150],
                    sep="\n    ",
                )
    return results, {kind: round(1000 * statistics.median(s)) for kind, s in seconds.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("--arm", default="tuned+rag")
    parser.add_argument("--show", action="store_true", help="show what was not right")
    parser.add_argument("--first", type=int, default=1000, help="ask only so many questions")
    given = parser.parse_args()
    rows = [json.loads(line) for line in (HERE / "structured.jsonl").read_text().splitlines()][: given.first]
    arms, model = opened(given.project, given.arm)
    try:
        results, p50_ms = asyncio.run(measured(model, rows, given.show))
    finally:
        arms.close()
    print(f"{'shape':8}{'right':>8}{'refused':>9}{'wrong':>7}{'refused rightly':>17}")
    for shape, counts in results.items():
        print(f"{shape:8}{counts['right']:8}{counts['refused']:9}{counts['wrong']:7}{counts['refused rightly']:17}")
    print(f"p50: text {p50_ms['text']} ms, structured {p50_ms['structured']} ms")
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / "structured.json").write_text(
        json.dumps({"questions": len(rows), "shapes": results, "p50_ms": p50_ms}, indent=1)
    )


if __name__ == "__main__":
    main()
