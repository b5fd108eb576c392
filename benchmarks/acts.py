"""How often questions are taken for dialog acts, and how many dialog acts are recognized.

    python benchmarks/acts.py [--data ../shared/data] [--conversations FILE]

Questions: utterances of bank customers, the router's utterances with other intents than small talk, the last messages
of the concierge, and the lines of STAR users that contain a question mark (read them: most that it finds are small
talk). A wish for a person among them counts as a false act too. Acts: the router's small talk by intent, and
`acts.tsv`, hand-written lines in 18 languages. The phrases were corrected after each part of that file, so its figures
show what still works and not what to expect; docs/LOG.md has those of the first run. `--conversations` adds test
conversations: lines of the kinds small_talk, person, and complaint are acts, all others are not. Prints a table and
writes `benchmarks/results/acts.json`.
"""

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

from inhouse.routing.acts import recognize

HERE = Path(__file__).parent
SMALL_TALK = {
    "greeting": {"greeting", "small_talk"}, "goodbye": {"goodbye", "small_talk"}, "thank_you": {"thanks", "goodbye"},
    "are_you_a_bot": {"identity", "person"}, "what_is_your_name": {"identity"}, "who_made_you": {"identity"},
}  # fmt: skip
"""The intents of the router that are acts, and the acts that answer them."""
NEITHER = {"tell_joke", "no", "yes", "maybe", "how_old_are_you", "where_are_you_from", "who_do_you_work_for", "oos",
           "what_are_your_hobbies", "do_you_have_pets", "meaning_of_life", "fun_fact",
           "what_can_i_ask_you"}  # fmt: skip
Case = tuple[str, set[str | None]]  # a line, and the acts that are right; None for no act


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def questions(data: Path) -> dict[str, list[str]]:
    router = [row for part in ("train", "val") for row in lines(data / "router" / f"{part}.jsonl")]
    star = [t["content"] for f in sorted((data / "star").glob("*.jsonl")) for row in lines(f) for t in row["turns"]
            if t["role"] == "user"]  # fmt: skip
    concierge = [r for r in lines(data / "concierge" / "dev.jsonl") if r["needs_knowledge"]]
    return {
        "bank intents": [row["text"] for row in lines(data / "bank" / "intents_train.jsonl")],
        "router": [row["text"] for row in router if row["intent"] not in SMALL_TALK.keys() | NEITHER],
        "concierge": [[m for m in row["messages"] if m["role"] == "user"][-1]["content"] for row in concierge],
        "STAR, with ?": [text for text in star if "?" in text],
    }


def acts(data: Path) -> dict[str, list[Case]]:
    cases: dict[str, list[Case]] = {}
    for part in ("train", "val"):
        for row in lines(data / "router" / f"{part}.jsonl"):
            if row["intent"] in SMALL_TALK:
                cases.setdefault(f"router: {row['intent']}", []).append((row["text"], {*SMALL_TALK[row["intent"]]}))
    for line in (HERE / "acts.tsv").read_text(encoding="utf-8").splitlines():
        _, act, text = line.split("\t")
        cases.setdefault(f"written: {act}", []).append((text, {None if act == "none" else act}))
    return cases


def conversations(file: Path) -> dict[str, list[Case]]:
    small = {"greeting", "thanks", "goodbye", "identity", "small_talk"}
    expected = {"small_talk": small, "person": {"person"}, "complaint": {"complaint"}}
    cases: dict[str, list[Case]] = {}
    for row in lines(file):
        for turn in row["turns"]:
            kind = turn["kind"] if turn["kind"] in expected else "other"
            cases.setdefault(f"conversations: {kind}", []).append((turn["user"], expected.get(kind, {None})))
    return cases


def ms_each(texts: Iterable[str]) -> float:
    some = list(texts)
    started = time.perf_counter()
    for text in some:
        recognize(text)
    return 1000 * (time.perf_counter() - started) / len(some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--conversations", type=Path)
    parser.add_argument("--quick", action="store_true", help="no difference: it takes seconds")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    recognize("hello")  # reads the phrases
    print(f"{'questions':<28}{'n':>7}{'taken for acts':>16}")
    for name, texts in questions(options.data).items():
        false = [(found.act, text) for text in texts if (found := recognize(text))]
        results[name] = {"n": len(texts), "false": len(false), "ms": round(ms_each(texts[:1000]), 3)}
        print(f"{name:<28}{len(texts):>7}{len(false):>16}  {len(false) / len(texts):.2%}")
        for act, text in false:
            print(f"    {act}: {text[:150]}")
    cases = acts(options.data) | (conversations(options.conversations) if options.conversations else {})
    print(f"{'acts':<28}{'n':>7}{'right':>16}")
    for name, rows in cases.items():
        right = sum(getattr(recognize(text), "act", None) in expected for text, expected in rows)
        results[name] = {"n": len(rows), "right": right}
        print(f"{name:<28}{len(rows):>7}{right:>16}  {right / len(rows):.2f}")
    out = HERE / "results" / "acts.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
