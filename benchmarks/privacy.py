"""Personal data that survives anonymization in human dialogues: inhouse beside plain Presidio, same texts, same run.

    python benchmarks/privacy.py [--data ../shared/data/star] [--domains bank,ride] [--quick]

The dialogues' own tool calls say what is personal: the name, account number, PIN, date of birth or security answer that
the agent typed in. A value counts where it stands in the dialogue's text; it survives where it still stands there after
anonymization, as whole words, case and gaps aside. Placeholders count all that was replaced, personal or not. Values
in a customer's own messages are also counted behind the rail `pii`. Plain Presidio runs with its defaults over the same
spaCy model. Nine other languages: the sentences of `privacy_languages.tsv`, and those of `privacy_languages_blind.tsv`,
written before their author read the rules. Each personal value is marked, as in {PERSON:Anna Weber}; sentences without
a mark have none, so any placeholder in them is a false alarm. A name or a number survives if a part of it does. Prints
counts by type with every survivor, and writes `benchmarks/results/privacy.json`. `--quick` reads 60 dialogues,
`--domains ''` none.
"""

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from inhouse.chat import ChatRequest
from inhouse.datasets.conversations import read_conversations
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.pii import Pii
from inhouse.guardrails.rail import Turn
from inhouse.models.catalog import Catalog
from inhouse.privacy.anonymize import Anonymizer
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.privacy.tagger import read_tagger
from inhouse.types import Example, Message

HERE = Path(__file__).parent
PERSONAL = {
    "FullName": "name", "CustomerName": "name", "RenterName": "name", "HostName": "name", "GuestName": "name",
    "UserName": "name", "AccountNumber": "account number", "PIN": "PIN", "DateOfBirth": "date of birth",
    "SecurityAnswer1": "security answer", "SecurityAnswer2": "security answer",
}  # fmt: skip
WORD = re.compile(r"\w+")


def values(row: dict) -> Iterable[tuple[str, str]]:
    """(type, value) of what the agent typed into its tools; "didnt provide" and the like hold no value."""
    for turn in row["turns"]:
        for name, value in (turn.get("arguments") or {}).items():
            text = " ".join(WORD.findall(str(value).casefold()))
            if name in PERSONAL and len(text) > 2 and not text.startswith(("api ", "didn", "not ", "no ", "forgot")):
                yield PERSONAL[name], text


def stands(value: str, text: str) -> bool:
    """Whether the value is in the text: digits with or without gaps, a name's words in a row."""
    if value.replace(" ", "").isdigit():
        return bool(re.search(r"(?<!\d)" + r"\W?".join(value.replace(" ", "")) + r"(?!\d)", text))
    return f" {value} " in f" {' '.join(WORD.findall(text.casefold()))} "


def said(example: Example) -> str:
    return "\n".join([*(m.content for m in example.messages), example.target])


def in_requests(rail: Pii, example: Example, row: dict) -> dict[str, int]:
    """How many values the customer's own messages have, and how many of them the model would still read behind the
    rail."""
    messages = tuple(m for m in example.messages if m.role != "system")
    finding = rail.check("input", "", Turn(ChatRequest(messages=messages)))
    before, after = ("\n".join(m.content for m in turns if m.role == "user")
                     for turns in (messages, (finding and finding.messages) or messages))  # fmt: skip
    given = [value for _, value in set(values(row)) if stands(value, before)]
    return {"given": len(given), "survive": sum(stands(v, after) for v in given)}


MARKED = re.compile(r"\{([A-Z_]+):([^}]*)\}")
WITH_DIGIT = re.compile(r"\d")


def in_languages(folder: Path, file: Path) -> dict[str, dict[str, int]]:
    """By language: names and other values found, of how many, and plain sentences that were changed, of how many."""
    lines: dict[str, list[str]] = defaultdict(list)
    for line in file.read_text(encoding="utf-8").splitlines():
        language, text = line.split("\t")
        lines[language].append(text.replace("\\n", "\n"))
    found = {}
    for language, texts in lines.items():
        plain = [MARKED.sub(r"\2", text) for text in texts]
        ours = Anonymizer(folder)
        ours.learn([], plain)
        counts: Counter[str] = Counter()
        for marked, text in zip(texts, plain, strict=True):
            done = said(
                ours.anonymize(Example(id="1", messages=(Message(role="user", content=text),), target="OK."))[0]
            )
            values = MARKED.findall(marked)
            for kind, value in values:
                group = "names" if kind == "PERSON" else "values"
                parts = [p for p in re.split(r"[ ,]+", value) if len(p) > 3]
                parts = [p for p in parts if kind == "PERSON" or WITH_DIGIT.search(p)]
                rest = MARKED.sub(" ", marked)
                left = [p for p in parts if re.search(rf"(?<!\w){re.escape(p)}(?!\w)", done) and p not in rest]
                left += [value] * (value in done)
                counts[group] += 1
                counts[f"{group} found"] += not left
                if left:
                    print(f"    survives: {language} {kind} {value!r}")
            if not values:
                counts["plain"] += 1
                counts["false alarms"] += done != f"{text}\nOK."
        found[language] = dict(counts)
        print(
            f"  {language}: names {counts['names found']} of {counts['names']}, other values "
            f"{counts['values found']} of {counts['values']}, false alarms in "
            f"{counts['false alarms']} of {counts['plain']} plain sentences"
        )
    return found


def presidio(folder: Path) -> Callable[[str], str]:
    """Presidio's own analyzer, every recognizer that it ships for English."""
    import spacy
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    engine = SpacyNlpEngine([{"lang_code": "en", "model_name": str(folder)}])
    engine.nlp = {"en": spacy.load(folder)}
    analyzer = AnalyzerEngine(nlp_engine=engine)

    def replaced(text: str) -> str:
        for found in sorted(analyzer.analyze(text, language="en"), key=lambda r: -r.start):
            text = f"{text[: found.start]}<{found.entity_type}>{text[found.end :]}"
        return text

    return replaced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data" / "star")
    parser.add_argument("--domains", default="bank,ride,party,apartment,meeting,restaurant,plane")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    folder = Catalog().find(SPACY_MODEL, HERE)
    plain = presidio(folder)
    rail = Pii(Anonymizer(folder), read_tagger(TAGGER))
    found = {}
    for domain in filter(None, given.domains.split(",")):
        file = given.data / f"{domain}.jsonl"
        rows = {r["id"]: r for r in map(json.loads, file.read_text(encoding="utf-8").splitlines())}
        examples = read_conversations([file], {})[0][: 60 if given.quick else None]
        ours = Anonymizer(folder)
        ours.learn([], (m.content for e in examples for m in e.messages))
        counts: Counter[str] = Counter()
        left: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        seconds: Counter[str] = Counter()
        customers: Counter[str] = Counter()
        placeholders: Counter[str] = Counter()
        for e in examples:
            raw, texts = said(e), {}
            started = time.perf_counter()
            texts["inhouse"] = said(ours.anonymize(e)[0])
            seconds["inhouse"] += time.perf_counter() - started
            started = time.perf_counter()
            texts["presidio"] = plain(raw)
            seconds["presidio"] += time.perf_counter() - started
            customers.update(in_requests(rail, e, rows[e.id]))
            for who, text in texts.items():
                placeholders[who] += len(re.findall(r"<[A-Z_]+(?:_\d+)?>", text))
            for kind, value in {v for v in values(rows[e.id]) if stands(v[1], raw)}:
                counts[kind] += 1
                for who, text in texts.items():
                    left[who][kind, value] += stands(value, text)
        survivors = {who: {k: n for k, n in c.items() if n} for who, c in left.items()}
        print(f"{domain}: {len(examples)} dialogues")
        for kind, n in sorted(counts.items()):
            sums = {who: sum(m for (k, _), m in c.items() if k == kind) for who, c in survivors.items()}
            print(f"  {kind:<16}{n:>5} values; survive: inhouse {sums['inhouse']}, plain Presidio {sums['presidio']}")
        for (kind, value), n in sorted(survivors["inhouse"].items()):
            print(f"    survives: {kind} {value!r} {n} x")
        print(f"  in requests, by the rail pii: {customers['survive']} of {customers['given']} values survive")
        print(f"  placeholders: inhouse {placeholders['inhouse']}, plain Presidio {placeholders['presidio']}")
        print(f"  seconds: inhouse {seconds['inhouse']:.1f}, plain Presidio {seconds['presidio']:.1f}")
        left_by_type = {
            who: {kind: sum(n for (k, _), n in c.items() if k == kind) for kind in counts}
            for who, c in survivors.items()
        }
        found[domain] = {
            "dialogues": len(examples), "values": dict(counts), "survive": left_by_type,
            "placeholders": dict(placeholders), "seconds": dict(seconds), "requests": dict(customers),
        }  # fmt: skip
    for name in ("languages", "languages_blind"):
        print(f"other languages: privacy_{name}.tsv")
        found[name] = in_languages(folder, HERE / f"privacy_{name}.tsv")
    out = HERE / "results" / "privacy.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
