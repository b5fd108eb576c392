"""STAR's procedures as state machines, and its dialogues as decisions: which action does the assistant take next?

The machine is made from a procedure's graph and replies alone. Where a tool has answered, or an answer is compared with
a known one, code decides; where the user has spoken, the machine knows the few actions that may follow, and the model
chooses among them.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

DATA = Path("/work/shared/data/star")
EVENTS = ("yes", "no", "available", "unavailable", "query_success", "query_failure", "info_missing", "info_missing2",
          "correct", "incorrect", "noanswer", "done")  # fmt: skip
"""Nodes of the graphs that are no actions."""
_FAILED = re.compile(r"unavailable|unable|fail|sorry|conflict|booked at|too small|must provide|another", re.IGNORECASE)
_GREETING = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|greetings)(?: there)?[\s\w,.!']{0,25}$", re.IGNORECASE
)
_THANKS = re.compile(r"\b(?:thanks?|thank you|bye|goodbye|that'?s (?:all|it|everything)|nothing else|no more|cheers)\b",
                     re.IGNORECASE)  # fmt: skip
_UNKNOWN = re.compile(r"\b(?:don'?t|do not|can'?t|cannot) (?:know|remember|recall)|no idea|forg[eo]t|not sure|pass\b|"
                      r"dunno|idk", re.IGNORECASE)  # fmt: skip
_YES = re.compile(r"\b(?:yes|yeah|yep|yup|sure|ok|okay|please|go ahead|correct|perfect|great|sounds good|book it)\b",
                  re.IGNORECASE)  # fmt: skip
_NO = re.compile(r"\b(?:no|nope|nah|not|don'?t|another|different|instead|cancel|change)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Decision:
    """A turn of the assistant that is to be predicted. `history` has (who, text, action) of each turn before it."""

    id: str
    dialogue: str
    task: str
    history: tuple[tuple[str, str, str], ...]
    label: str


@dataclass(frozen=True)
class Flow:
    """A procedure of STAR."""

    task: str
    replies: dict[str, str]
    graph: dict[str, str]

    @cached_property
    def bye(self):
        return next((r for r in self.replies if "bye" in r), "goodbye_1")

    @cached_property
    def labels(self):
        """Every action, with what it says."""
        queries = [q for q in ("query", "query_check", "query_book") if q in self.replies or q in self.graph]
        said = {name: text for name, text in self.replies.items() if name not in (*EVENTS, *queries)}
        says = {"query": "(call the tool)", "query_check": "(call the tool to search or check)",
                "query_book": "(call the tool to book)"}  # fmt: skip
        if not queries:
            queries = ["query"]
        if "query_check" in queries and "query_book" not in queries:
            queries.append("query_book")
        return {**said, self.bye: self.replies.get(self.bye, "Thank you and goodbye."), **{q: says[q] for q in queries}}

    @cached_property
    def chain(self):
        """The actions in order from the greeting to the first call of the tool."""
        found, at = [], "hello"
        while at and at not in found:
            found.append(at)
            if at.startswith("query"):
                break
            at = self.graph.get(at, "")
        return found

    @property
    def nothing(self):
        return next((r for r in self.replies if "nothing_found" in r), "out_of_scope")

    def canonical(self, action, arguments):
        """The label of an action or of a call; "" for what the procedure does not have."""
        if arguments is not None:
            kind = f"query_{str(arguments.get('RequestType') or '').lower()}"
            return kind if kind in self.labels else next(q for q in ("query", "query_check") if q in self.labels)
        if action and action.startswith("goodbye"):
            return self.bye
        return action if action in self.labels else ""

    def after_tool(self, called, result):
        """What follows a result of the tool; no model is asked."""
        go = self.graph
        if not result or result in ("null", "None", "[]", "{}"):
            return self.nothing
        failed = bool(_FAILED.search(_message(result)))
        if called == "query_book":
            names = ("query_failure", "unavailable") if failed else ("query_success", "query_book")
            names = names if "available" in go or failed else ("query_book", "query_success", "yes")
        else:
            names = ("unavailable", "query_failure") if failed else ("available", "query_success")
        found = next((go[n] for n in names if n in go), "") or go.get(called) or go.get("query", "")
        return found if found in self.labels else self.nothing

    def choices(self, history):
        """The actions that may follow what the user said; the usual one first."""
        done = [action for _, _, action in history if action]
        last, said = (done[-1] if done else ""), history[-1][1] if history else ""
        ahead = [n for n in self.chain[1:] if n not in done]
        query = self.chain[-1] if self.chain[-1] in self.labels else "query"
        found = []
        if not done:
            found = ["hello", *ahead] if _GREETING.match(said) else [*ahead, "hello"]
        elif last in self.chain and not last.startswith("query"):
            later = [n for n in self.chain[self.chain.index(last) + 1 :] if n not in done]
            found = [*later, *[n for n in ahead if n not in later]]
            if "info_missing" in self.graph and last != "hello":
                missing = [self.graph["info_missing"]]
                found = missing + found if _UNKNOWN.search(said) else found + missing
        elif self.is_question(last):
            yes, no = self.graph.get("yes"), self.graph.get("no")
            wants = not _NO.search(said) if not _YES.search(said) else True
            usual = self.graph.get(last) or (yes if wants else no) or query
            found = [usual, *(x for x in (yes, no, query) if x)]
            if _THANKS.search(said):
                found.insert(0, self.bye)
        elif last in self.graph and self.graph[last] in self.labels and self.graph[last] != "anything_else":
            found = [self.graph[last], query]
        else:
            closing = _THANKS.search(said) or _NO.match(said)
            ending = [self.bye if last == "anything_else" or closing else "anything_else"]
            found = [*ending, query] if closing or "?" not in said else [query, *ending]
        found = [*found, query, "anything_else", self.bye, "out_of_scope"]
        return [n for n in dict.fromkeys(found) if n in self.labels]

    def is_question(self, action):
        return self.replies.get(action, "").rstrip().endswith("?") and action != "anything_else"

    def decided(self, history):
        """What code decides alone, "" where the model is asked."""
        who, text, _ = history[-1] if history else ("", "", "")
        called = next((a for _, _, a in reversed(history) if a), "")
        if who == "tool":
            return self.after_tool(called, text)
        if "correct" in self.graph and called == "trivia_ask_question":
            known = next((_answer(t) for w, t, _ in reversed(history) if w == "tool"), "")
            if known and known.lower() in text.lower():
                return self.graph["correct"]
            return self.graph["noanswer" if _UNKNOWN.search(text) else "incorrect"]
        return ""


def _message(result):
    try:
        data = json.loads(result)
    except ValueError:
        return ""
    shown = ("Message", "ChangeStatus", "ReservationStatus") if isinstance(data, dict) else ()
    return " ".join(str(data[k]) for k in shown if k in data)


def _answer(result):
    try:
        return str(json.loads(result).get("Answer") or "")
    except (ValueError, AttributeError):
        return ""


def flows(folder=DATA):
    found = {}
    for directory in sorted((folder / "procedures").iterdir()):
        data = json.loads((directory / f"{directory.name}.json").read_text())
        found[directory.name] = Flow(directory.name, data["replies"], data["graph"])
    return found


def decisions(procedures, folder=DATA):
    """Every decision of every dialogue whose label the procedure has, and how many labels it does not have."""
    found, unknown = [], 0
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            flow, history = procedures[row["tasks"][0]], []
            for n, turn in enumerate(row["turns"]):
                if turn["role"] != "assistant":
                    history.append((turn["role"], turn.get("content") or "", ""))
                    continue
                label = flow.canonical(turn.get("action"), turn.get("arguments") if turn.get("tool") else None)
                if label:
                    found.append(Decision(f"{row['id']}:{n}", row["id"], flow.task, tuple(history), label))
                unknown += not label
                history.append(("assistant", turn.get("content") or "", label))
    return found, unknown
