"""The data audit as values: what was found about documents and conversations before anything is trained, with grades.

Every grade says why it was given and what to do. Shares of samples have 95 % intervals (Clopper and Pearson 1934).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from inhouse.bounds import binomial_interval
from inhouse.types import Estimate, Record
from inhouse.verdict import read_versioned

AUDIT = "audit.json"
MAJOR = 1
STEPS = (
    (500, "prompt and retrieval"),
    (5_000, "fine-tuning of the common questions"),
    (10_000, "fine-tuning of rare questions as well"),
)
"""Examples below which the data allows no more than this; from the last on it allows hardening as well."""
HARDENING = "hardening: fine-tuning with held-out tests for rare questions and attacks"
COVERED, PARTLY = 0.8, 0.5  # shares of the questions
FOUND, OFTEN = 0.85, 0.7
FEW_QUESTIONS = 20  # fewer judged questions get no grade
TOPICS = 5
ALL = "all questions"  # the topic of questions that are too few for topics
Level = Literal["good", "fair", "poor", "unknown"]


class Grade(Record):
    """One thing that was graded: its figure, why it is good or not, and what to do, with commands in backticks."""

    name: str
    title: str
    level: Level
    value: str
    why: str
    todo: str = ""


class Gap(Record):
    """Questions that no document answers, the most typical first; `share` is that of all judged questions."""

    questions: tuple[str, ...]
    size: int
    share: Estimate
    declined: bool = False  # whether the replies said that there is no answer
    nearest: tuple[str, ...] = ()


class Place(Record):
    """A statement of a document."""

    source: str
    heading: str
    text: str
    restricted: bool = False


class Conflict(Record):
    """Two statements that cannot both be true; `figures` are what differs, empty for opposites."""

    places: tuple[Place, Place]
    kind: Literal["figures", "opposite"]
    figures: tuple[str, ...] = ()
    score: float


class Outdated(Record):
    """A reply of a person that has other figures than a document."""

    question: str
    reply: str
    source: str
    passage: str


class Coverage(Record):
    """What the documents say to a sample of `of` questions, by state (coverage.py).

    `answered` is the share of the questions with a reply; `found` of those answered, the share that retrieval finds by
    the question alone.
    """

    sampled: int
    of: int
    states: Mapping[str, int]
    answered: Estimate | None = None
    found: Estimate | None = None


class Topic(Record):
    """Questions of one topic: how many were asked, the share that the base model answers right, and some that it does
    not."""

    name: str
    asked: int
    right: Estimate
    wrong: tuple[str, ...] = ()


class UseCases(Record):
    """The topics by the base model's failures, the most first. `source` says what was asked: "verdict" or "sample";
    "" where nothing was, and then `reason` says why. `lacking` is how many questions more would have topics."""

    source: Literal["verdict", "sample", ""] = ""
    reason: str = ""
    asked: int = 0
    right: Estimate | None = None
    topics: tuple[Topic, ...] = ()
    lacking: int = 0


class Files(Record):
    """What became of the files: counts, and which are unreadable, repeat another one, or are a version of one."""

    read: int
    duplicates: tuple[tuple[str, str], ...] = ()  # path, reason
    versions: tuple[tuple[str, str], ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    chars: int = 0


class Volume(Record):
    """How many examples there are: replies of people, own tests, and, where a data set was made, its training set."""

    conversations: int
    replies: int
    tests: int
    training: int | None = None
    rejected: int = 0

    @property
    def usable(self) -> int:
        return self.replies if self.training is None else self.training


class Personal(Record):
    """Personal data in a sample of conversations, by kind; `with_any` have some. `replaced` says whether curation
    replaces it."""

    sampled: int
    with_any: int = 0
    kinds: Mapping[str, int] = {}
    replaced: bool = True


class Languages(Record):
    """Documents and questions by language, and what the models of the project do not know of them."""

    documents: Mapping[str, int] = {}
    questions: Mapping[str, int] = {}
    gaps: tuple[str, ...] = ()


class DataAudit(Record):
    """The whole. `grades` are in the order in which they matter."""

    version: str = f"{MAJOR}.0"
    project: str
    files: Files
    coverage: Coverage
    gaps: tuple[Gap, ...] = ()
    outdated: tuple[Outdated, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    volume: Volume
    personal: Personal
    languages: Languages
    cases: UseCases = UseCases()
    grades: tuple[Grade, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> DataAudit:
        """The audit in an artifact's folder.

        Raises:
            InputError: the file is gone or damaged, or a newer or older program wrote it.
        """
        return read_versioned(cls, folder / AUDIT, MAJOR, "`inhouse audit-data` writes it again")


def share(hits: int, n: int) -> Estimate | None:
    """A share with its interval; None of nothing."""
    if not n:
        return None
    low, high = binomial_interval(hits, n)
    return Estimate(mean=hits / n, low=low, high=high, n=n)


def percent(e: Estimate) -> str:
    """A share with its interval: "84% [78, 89]"."""
    return f"{100 * e.mean:.0f}% [{100 * e.low:.0f}, {100 * e.high:.0f}]"


def worst_topics(asked: Sequence[tuple[str, bool, str]]) -> tuple[Topic, ...]:
    """The topics with most failures of the base model.

    Args:
        asked: of each question the topic, whether the answer was right, and the question. Without a topic it counts
            nowhere; where none has one, all are one topic.
    """
    topics = []
    if not any(topic for topic, _, _ in asked):
        asked = [(ALL, right, question) for _, right, question in asked]
    for name in dict.fromkeys(topic for topic, _, _ in asked if topic):
        rows = [(right, question) for topic, right, question in asked if topic == name]
        right = share(sum(r for r, _ in rows), len(rows))
        assert right is not None
        wrong = tuple(dict.fromkeys(q for r, q in rows if not r))[:3]
        topics.append(Topic(name=name, asked=len(rows), right=right, wrong=wrong))
    failing = [t for t in topics if t.right.mean < 1]
    return tuple(sorted(failing, key=lambda t: (-round(t.asked * (1 - t.right.mean)), t.right.high, t.name))[:TOPICS])


# --- grades -----------------------------------------------------------------------------------------------------


def graded(audit: DataAudit) -> DataAudit:
    """The audit with its grades."""
    grades = (
        _volume(audit.volume), _coverage(audit), _found(audit.coverage), _conflicts(audit), _outdated(audit),
        _files(audit.files), _repeats(audit.files), _languages(audit.languages), _personal(audit.personal),
        _cases(audit.cases),
    )  # fmt: skip
    return audit.model_copy(update={"grades": grades})


def allows(examples: int) -> str:
    """What so many examples allow."""
    return next((text for below, text in STEPS if examples < below), HARDENING)


def _volume(v: Volume) -> Grade:
    n = v.usable
    kind = "training examples after curation" if v.training is not None else "replies of people"
    level: Level = "good" if n >= STEPS[0][0] else "fair" if n or v.tests else "poor"
    step = next(((below, text) for below, text in STEPS if n < below), None)
    why = f"{n:,} {kind} allow {allows(n)}."
    todo = ""
    if step:
        after = [*(text for _, text in STEPS[1:]), HARDENING]
        todo = f"{step[0] - n:,} more, to {step[0]:,}, would allow {after[[b for b, _ in STEPS].index(step[0])]}."
        todo += " `inhouse import` reads exports of help desks, chats, and mailboxes." if n < STEPS[0][0] else ""
    if not v.tests:
        todo += " Write test questions with checks: without any, a share of the conversations is held out."
    return Grade(name="volume", title="Volume", level=level, value=f"{n:,} examples", why=why, todo=todo.strip())


def _coverage(audit: DataAudit) -> Grade:
    c, gaps = audit.coverage, [g for g in audit.gaps if not g.declined]
    head = {"name": "coverage", "title": "Questions that the documents answer"}
    if c.answered is None or c.answered.n < FEW_QUESTIONS:
        n = c.answered.n if c.answered else 0
        why = f"Only {n} questions have a reply that can be compared with the documents; {FEW_QUESTIONS} are needed."
        todo = "Add past conversations under [curation] conversations."
        return Grade(level="unknown", value="not known", why=why, todo=todo, **head)
    level: Level = "good" if c.answered.mean >= COVERED else "fair" if c.answered.mean >= PARTLY else "poor"
    missing = c.states.get("missing", 0)
    why = (
        f"Of {c.answered.n} sampled questions with a reply, {percent(c.answered)} are answered by the documents and "
        f"{missing} are not."
    )
    why += f" Another {n} were declined in the conversations." if (n := c.states.get("declined", 0)) else ""
    if missing:
        why += " A reply that was composed, such as a command or a calculation, counts as not answered."
    named = ", ".join(f'"{g.questions[0]}" ({g.size})' for g in gaps[:3])
    todo = (
        f"Write documents for the largest gaps: {named}; or connect a tool where the answer is in a system."
        if gaps
        else ""
    )
    return Grade(level=level, value=percent(c.answered), why=why, todo=todo, **head)


def _found(c: Coverage) -> Grade:
    head = {"name": "retrieval", "title": "Answers that retrieval finds"}
    if c.found is None or c.found.n < FEW_QUESTIONS:
        return Grade(level="unknown", value="not known", why="Too few questions are answered by the documents.", **head)
    level: Level = "good" if c.found.mean >= FOUND else "fair" if c.found.mean >= OFTEN else "poor"
    why = f"For {percent(c.found)} of {c.found.n} questions that the documents answer, retrieval finds the answer."
    todo = "" if level == "good" else (
        "Give documents clear titles and headings in the words of customers; `inhouse build` also fits the search to "
        "your questions. If it stays low, try another retrieval.embedder."
    )  # fmt: skip
    return Grade(level=level, value=percent(c.found), why=why, todo=todo, **head)


def _conflicts(audit: DataAudit) -> Grade:
    n, documents = len(audit.conflicts), max(audit.files.read, 1)
    level: Level = "good" if not n else "fair" if n <= documents / 50 else "poor"
    pairs = "pair of statements says" if n == 1 else "pairs of statements say"
    why = f"{n} {pairs} different things of the same." if n else "No contradicting statements were found."
    why += " The check misses many: it finds some changed figures and few opposites in words."
    todo = "Correct or remove the wrong one of each pair: a model that reads both gives either." if n else ""
    return Grade(name="contradictions", title="Contradictions", level=level, value=str(n), why=why, todo=todo)


def _outdated(audit: DataAudit) -> Grade:
    n, judged = len(audit.outdated), sum(audit.coverage.states.get(s, 0) for s in ("answered", "differs", "missing"))
    level: Level = (
        "unknown"
        if judged < FEW_QUESTIONS
        else "good"
        if n <= 0.02 * judged
        else "fair"
        if n <= 0.1 * judged
        else "poor"
    )
    why = f"{n} of {judged} compared replies have other figures than the documents."
    todo = (
        "Find out which is right; leave old conversations out with [curation] where, or update the documents."
        if n
        else ""
    )
    return Grade(
        name="outdated", title="Replies and documents that differ", level=level, value=str(n), why=why, todo=todo
    )


def _files(f: Files) -> Grade:
    n, all_ = len(f.unreadable), f.read + len(f.duplicates) + len(f.unreadable)
    level: Level = "good" if not n else "fair" if n <= 0.1 * all_ else "poor"
    why = f"{n} of {all_} files could not be read." if n else f"All {all_} files were read."
    todo = "See the reasons below; convert or replace these files." if n else ""
    return Grade(name="files", title="Unreadable files", level=level, value=str(n), why=why, todo=todo)


def _repeats(f: Files) -> Grade:
    n, v = len(f.duplicates), len(f.versions)
    level: Level = "good" if not v else "fair" if v <= 0.1 * max(f.read, 1) else "poor"
    repeat, alike = ("file repeats" if n == 1 else "files repeat"), ("is" if v == 1 else "are")
    why = f"{n} {repeat} another one, left out; {v} {alike} nearly the same as another one, kept."
    todo = "Remove the older version of each, or make clear in its title what it is for." if v else ""
    return Grade(name="repeats", title="Duplicates and versions", level=level, value=f"{n} and {v}", why=why, todo=todo)


def _languages(found: Languages) -> Grade:
    unread = sorted(set(found.questions) - set(found.documents) - {""})
    level: Level = "poor" if found.gaps else "fair" if unread else "good"
    value = ", ".join(found.documents) or "none"
    why = f"Documents: {_counted(found.documents)}. Questions: {_counted(found.questions)}."
    if unread:
        why += f" There are questions in {', '.join(unread)}, but no document."
    why += "".join(f" {gap}" for gap in found.gaps)
    todo = "Choose models that know these languages (see `inhouse models`)." if found.gaps else (
        "Add documents in these languages, or test answers across languages." if unread else "")  # fmt: skip
    return Grade(name="languages", title="Languages", level=level, value=value, why=why, todo=todo)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'unclear'} {n}" for name, n in counts.items()) or "none"


def _personal(p: Personal) -> Grade:
    title = {"name": "personal", "title": "Personal data"}
    if not p.sampled:
        return Grade(level="unknown", value="not known", why="There are no conversations to look at.", **title)
    found = share(p.with_any, p.sampled)
    assert found is not None
    kinds = ", ".join(
        f"{name.lower().replace('_', ' ')} {n}" for name, n in sorted(p.kinds.items(), key=lambda x: -x[1])[:6]
    )
    why = f"{percent(found)} of {p.sampled} sampled conversations have personal data" + (
        f" ({kinds})." if kinds else "."
    )
    if p.replaced:
        return Grade(level="good", value=percent(found), why=f"{why} Curation replaces it before training.", **title)
    todo = "Set curation.anonymize = true, or keep the model and its data set as confidential as the conversations."
    return Grade(
        level="poor" if p.with_any else "good",
        value=percent(found),
        why=f"{why} Curation keeps it.",
        todo=todo,
        **title,
    )


def _cases(c: UseCases) -> Grade:
    head = {"name": "cases", "title": "Use cases where the base model fails"}
    if c.right is None:
        return Grade(
            level="unknown",
            value="not known",
            why=c.reason or "Nothing was asked.",
            todo="`inhouse build` measures it.",
            **head,
        )
    level: Level = "good" if c.right.mean >= COVERED else "fair" if c.right.mean >= PARTLY else "poor"
    source = "the verdict's questions" if c.source == "verdict" else "a sample of your questions, without documents"
    why = f"The base model alone answers {percent(c.right)} of {c.asked} questions right ({source})."
    if len(c.topics) > 1 and max(t.right.low for t in c.topics) <= min(t.right.high for t in c.topics):
        why += " So few questions do not tell the topics below apart."
    if any(t.name == ALL for t in c.topics):
        what = "test questions" if c.source == "verdict" else "replies that the documents support"
        more = f"add {c.lacking} {what}" if c.lacking else ""
        todo = f"To see in which topics it fails, {' or '.join(filter(None, (more, 'give questions tags')))}."
        why += " They are too few for topics." if c.lacking else ""
        return Grade(level=level, value=percent(c.right), why=why, todo=todo, **head)
    names = ", ".join(f"{t.name} {percent(t.right)}" for t in c.topics)
    todo = f"Begin with the topics where it fails most: {names}." if names else ""
    return Grade(level=level, value=percent(c.right), why=why, todo=todo, **head)
