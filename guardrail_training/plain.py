# ruff: noqa: E501  templates, one a line
"""Plain sentences, none of which is an insult: short statements and negations made from templates, and sentences of
documents and conversations. Assistants answer with such sentences, so a classifier of toxicity must not report them."""

import gzip
import json
import random
from pathlib import Path

from guardrail_training.data import DATA, lines, split
from inhouse.text.sentences import sentences

FILLINGS = {
    "train": {
        "thing": ("bathroom", "room", "card", "bed", "payment", "breakfast", "pool", "app", "driver", "parking lot",
                  "loan", "office", "kitchen", "meal", "form", "train", "bill", "password"),
        "things": ("bathrooms", "rooms", "cards", "fees", "dogs", "children", "windows", "cocktails", "payments", "towels",
                   "guests", "employees", "black shoes", "white walls", "women's clothes"),
        "good": ("clean", "free", "quiet", "open", "ready", "cheap", "safe", "large", "warm", "correct", "new"),
        "poor": ("dirty", "late", "closed", "noisy", "cold", "expensive", "broken", "wrong", "old", "missing", "dead",
                 "ugly", "useless", "too small"),
        "who": ("The guest", "My son", "The staff", "She", "He", "A colleague", "The cook", "The owner", "Nobody", "I"),
        "did": ("left", "paid twice", "did not come", "forgot the key", "called you", "was helpful", "never answered",
                "said no", "missed the bus", "killed the engine", "cut the fee", "shot a video", "hit the button"),
        "n": ("two", "4", "no", "ten", "15", "several"),
    },
    "test": {
        "thing": ("shower", "table", "account", "elevator", "dinner", "website", "taxi", "garden", "lamp", "invoice",
                  "balcony", "ticket"),
        "things": ("showers", "tables", "accounts", "pets", "seats", "doors", "drinks", "babies", "red curtains"),
        "good": ("tidy", "included", "bright", "available", "soft", "fine", "fast"),
        "poor": ("stained", "slow", "full", "loud", "stale", "faulty", "gone", "awful", "weak"),
        "who": ("The visitor", "My wife", "The waiter", "They", "A friend", "The manager", "You"),
        "did": ("went home", "paid in cash", "did not sign", "lost the ticket", "wrote a letter", "never arrived",
                "refused the offer", "dropped the plate", "fired a question at me"),
        "n": ("three", "7", "zero", "a few"),
    },
}  # fmt: skip
PATTERNS = {
    "train": (
        "The answer is no.", "The answer is yes.", "No.", "Yes.", "No, it is not.", "Not at all.", "None.", "Never.",
        "I don't know.", "I do not think so.", "That is not true.", "That is wrong.", "It is false.", "You can't.",
        "You are wrong about the {thing}.", "You cannot.", "How many {things}?", "How many people?", "Who is it?",
        "What about {things}?", "The {things} are {good}.", "The {things} are not {good}.", "The {thing} is {good}.",
        "The {thing} is {poor}.", "The {thing} is not {poor}.", "The {things} were {poor}.", "{who} {did}.",
        "{who} {did} and the {thing} was {poor}.", "There is no {thing}.", "There are no {things}.",
        "There are {n} {things}.", "We have {n} {things}.", "We do not have {things}.", "You need no {thing}.",
        "You must not bring {things}.", "You should not pay for the {thing}.", "Is the {thing} {good}?",
        "Are the {things} {good}?", "Isn't the {thing} {poor}?", "It isn't {good}.", "It wasn't {poor} at all.",
        "Nobody complained about the {thing}.", "Nothing is {poor}.", "I hate the {thing}.", "I don't like {things}.",
        "{things} are not allowed.", "{things} are allowed.", "A {thing} without {things} is {poor}.",
        "This is not my {thing}.", "Your {thing} is {poor}.", "You have {n} {things}.", "You said the {thing} was {good}.",
        "The {thing} smells.", "The {thing} stinks.", "It never works.", "Please go away from the {thing}.",
        "He is not a guest.", "She is {good} at this.", "Men and women have {n} {things}.", "The {thing} died.",
        "That's {poor}.", "What a {poor} {thing}.", "It's too {poor} for me.", "Let's do it.", "Walk to the {thing}.",
        "My name is Mr. {who}.", "It would be a crime to miss the {thing}.", "{n} {things} for {n} people, no more.",
    ),
    "test": (
        "The result is no.", "The reply is negative.", "That isn't so.", "Certainly not.", "Neither of them.",
        "It is not possible.", "How many {things} are there?", "Which {thing}?", "Those {things} are {good}.",
        "Those {things} aren't {good}.", "Our {thing} is {poor}.", "Our {thing} is never {poor}.", "{who} {did} yesterday.",
        "Without {things} you cannot enter.", "Not every {thing} is {good}.", "No {thing} was {poor}.",
        "{n} {things} were {poor}.", "Why is the {thing} {poor}?", "Why isn't the {thing} {good}?",
        "{who} told me that the {thing} is {poor}.", "You do not get a {thing}.", "It is a {poor} {thing}.",
        "I dislike the {thing}.", "{things} cost nothing.", "You missed the {thing}.", "Don't use the {thing}.",
    ),
}  # fmt: skip


def made(kind: str, most: int) -> list[str]:
    """Sentences from the templates, each once."""
    rng = random.Random(f"plain {kind}")
    found: dict[str, None] = {}
    for n in range(4 * most):
        text = PATTERNS[kind][n % len(PATTERNS[kind])]
        for key, values in FILLINGS[kind].items():
            text = text.replace("{" + key + "}", rng.choice(values))
        found[text[0].upper() + text[1:]] = None
    return list(found)[:most]


def quoted(data: Path = DATA, most: int = 1500) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Sentences of reviews and pages, of agents and customers, and of privacy policies; the test half of each source
    comes from documents and dialogues that the training half does not have."""
    rng = random.Random(31)
    files = sorted((data / "concierge" / "documents").glob("*.md"))
    found = {"reviews": [(f.name, s) for f in files for s in sentences(f.read_text(encoding="utf-8"))]}
    for row in lines(data / "concierge" / "conversations.jsonl"):
        found.setdefault("concierge", []).extend(
            (row["group"], s) for m in row["messages"][-1:] for s in sentences(m["content"]))  # fmt: skip
    for file in sorted((data / "star").glob("*.jsonl")):
        for row in lines(file):
            said = [t["content"] for t in row["turns"] if t["role"] in ("user", "assistant") and t.get("content")]
            found.setdefault("star", []).extend((f"star {row['id']}", s) for t in said for s in sentences(t))
    with gzip.open(data / "policyqa" / "dev.json.gz", "rt", encoding="utf-8") as file:
        found["policies"] = [(site["title"], s) for site in json.load(file)["data"] for p in site["paragraphs"]
                             for s in sentences(p["context"])]  # fmt: skip
    train, test = {}, {}
    for name, pairs in found.items():
        once = list({text: key for key, text in reversed(pairs)}.items())
        rng.shuffle(once)
        learned, tested = split((key, text) for text, key in once)
        seen = set(learned)
        train[name], test[name] = learned[:most], [t for t in tested if t not in seen][:500]
    return train, test
