"""Facts of made-up businesses as documents state them and as answers say them, right and wrong: what an answer says in
other words is right, and a price that stands beside another thing is not.

The ways of saying something end with some that are kept for testing, as are two of the businesses.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

TESTED = 0.25  # of the ways to say something
JOINED = 0.3  # of the answers, and of the documents' sentences, that say two things at once
THINGS = {  # what costs, takes time or can be had, by business; the last two are for testing
    "bank": "an outgoing wire|an incoming wire|a stopped check|a replacement card|a paper statement|a cashier's check|"
            "a night deposit|a declined payment|an account closure",
    "hotel": "parking|breakfast|a late check-out|an extra bed|airport pick-up|laundry|a spa visit|luggage storage",
    "clinic": "a first visit|a blood test|a missed appointment|a flu shot|an X-ray|a repeat prescription|a video call",
    "support": "a replacement laptop|remote help|a new phone line|data recovery|a visit on site|an extra monitor|"
               "a password reset",
    "estate": "a viewing|a credit report|a lease renewal|a lost key|a pet|a storage room|an inspection",
    "law": "a first consultation|a notarized copy|a power of attorney|a contract review|a court filing|a will",
    "shop": "express delivery|a return|gift wrapping|assembly|an exchange|a spare part|an extended warranty",
    "gym": "a day pass|a locker|a towel|a personal trainer|a guest visit|a yoga class",
    "garage": "an oil change|a tire swap|a tow|a courtesy car|a battery check|a car wash",
}  # fmt: skip
TEST_BUSINESSES = ("gym", "garage")
MEASURES = (  # what must at least, or may at most, be so large
    "credit score|{0}|for a personal loan", "deposit|${0}|to open an account", "age|{0} years|to rent a car",
    "order|${0}|for free delivery", "stay|{0} nights|in high season", "balance|${0}|to avoid the fee",
    "notice|{0} days|to end the lease", "income|${0}|for an apartment", "group|{0} people|for a discount",
)  # fmt: skip
LIMITS = (  # what may be so large at most, and what is done with it
    "payment|${0}|each month|pay", "withdrawal|${0}|per day|withdraw", "transfer|${0}|per day|send",
    "claim|${0}|per year|claim", "file|{0} MB|per message|upload", "bag|{0} kg|per traveler|bring",
    "loan|${0}|here|borrow",
    "booking|{0} nights|at a time|book", "order|{0} pieces|per customer|order", "refund|${0}|per item|get back",
)  # fmt: skip
PAPERS = (
    "a photo ID", "proof of address", "your tax number", "a bank statement", "the insurance card", "two payslips",
    "the receipt", "your passport", "a referral", "the serial number", "the lease", "a birth certificate",
)  # fmt: skip
PLACES = ("front desk", "pool", "branch", "pharmacy", "help desk", "showroom", "restaurant", "office", "library", "gym")
STATUS = ("a premium account", "a student card", "membership", "a yearly plan", "a senior pass", "a balance of $5,000")

WAYS = {
    "price": (
        ("{X} costs ${n}.", "The fee for {x} is ${n}.", "{X}: ${n}.", "There is a charge of ${n} for {x}.",
         "We charge ${n} for {x}.", "{X} is ${n} each time.", "For {x} the price is ${n}, tax included."),
        ("You pay ${n} for {x}.", "{X} costs ${n}.", "The price of {x} is ${n}.", "It costs ${n} for {x}.",
         "For {x} there is a fee of ${n}.", "{X} comes to ${n}.", "{X} will cost you {n} dollars.",
         "Expect to pay ${n} for {x}.",
         "The charge for {x} is ${n}.", "{X} is priced at ${n}.", "If you want {x}, that is ${n}.",
         "We ask ${n} for {x}."),
    ),
    "time": (
        ("{X} takes {n} days.", "Allow {n} days for {x}.", "We need {n} days for {x}.", "{X} is done within {n} days.",
         "{X}: {n} days."),
        ("It takes {n} days for {x}.", "{X} takes {n} days.", "Please allow {n} days for {x}.",
         "{X} is finished in {n} days.",
         "You wait {n} days for {x}.", "{X} needs {n} days.", "Within {n} days {x} is done.",
         "Expect {x} to take {n} days."),
    ),
    "least": (
        ("You need a {t} of at least {v} {p}.", "The minimum {t} {p} is {v}.", "A {t} of {v} or more is needed {p}.",
         "The {t} {p} must be no less than {v}.", "Smallest {t} {p}: {v}."),
        ("The minimum {t} {p} is {v}.", "The lowest {t} {p} is {v}.", "A {t} of at least {v} is required {p}.",
         "You must have a {t} of {v} or more {p}.", "The {t} has to be {v} or higher {p}.",
         "The smallest {t} accepted {p} is {v}.",
         "At least {v} is the {t} that we ask {p}.", "It takes a {t} of {v} or above {p}."),
    ),
    "most": (
        ("The largest {t} {p} is {v}.", "The maximum {t} {p} is {v}.", "A {t} may be up to {v} {p}.",
         "The {t} {p} must not exceed {v}.", "The limit for a {t} {p} is {v}."),
        ("The maximum {t} {p} is {v}.", "The highest {t} {p} is {v}.", "A {t} of up to {v} is possible {p}.",
         "A {t} can be {v} at most {p}.", "No {t} above {v} is allowed {p}.", "The {t} is limited to {v} {p}.",
         "You can go up to {v} for a {t} {p}.", "You can {w} up to {v} {p}.", "The most that you can {w} {p} is {v}.",
         "You may not {w} more than {v} {p}.", "It is possible to {w} {v} at most {p}.", "The biggest {t} {p} is {v}.",
         "Nobody can {w} above {v} {p}."),
    ),
    "pair": (
        ("{X} costs ${n}; {x2} costs ${m}.", "{X} is ${n} and {x2} ${m}.", "We charge ${n} for {x} and ${m} for {x2}.",
         "{X}: ${n}, {x2}: ${m}."),
        ("You pay ${n} for {x}.", "{X} costs ${n}.", "It costs ${m} for {x2}.", "For {x2} there is a fee of ${m}.",
         "{X} comes to {n} dollars.", "The price of {x2} is ${m}.", "{X} is ${n}, {x2} ${m}.", "We ask ${m} for {x2}."),
    ),
    "range": (
        ("{X} takes {n} to {m} days.", "{X}: {n} to {m} days.", "Allow between {n} and {m} days for {x}.",
         "We need {n} to {m} days for {x}."),
        ("It takes {n} to {m} days for {x}.", "{X} needs between {n} and {m} days.", "{X} takes at least {n} days.",
         "{X} takes {m} days at most.", "You wait up to {m} days for {x}.", "Expect {n} to {m} days for {x}.",
         "{X} is done in no more than {m} days."),
    ),
    "hours": (
        ("The {q} is open from {a} to {b}.", "Hours of the {q}: {a} to {b}.", "The {q} opens at {a} and closes at {b}.",
         "You find the {q} open between {a} and {b}."),
        ("The {q} is open from {a} until {b}.", "You can come to the {q} between {a} and {b}.", "The {q} opens at {a}.",
         "The {q} closes at {b}.", "The {q} opens at {a} and shuts at {b}.",
         "The {q} is there for you from {a} to {b}."),
    ),
    "has": (
        ("We offer {x}.", "{X} is available.", "You can have {x} here.", "Yes, there is {x}.",
         "{X} is part of what we do."),
        ("Yes, we offer {x}.", "You can get {x}.", "{X} is available.", "Yes, {x} is possible.", "They do have {x}.",
         "{X} can be arranged."),
    ),
    "lacks": (
        ("We do not offer {x}.", "{X} is not available.", "There is no {y} here.", "Sorry, we have no {y}."),
        ("No, {x} is not offered.", "Unfortunately there is no {y}.", "You cannot get {x}.", "They do not have {x}.",
         "{X} is not possible."),
    ),
    "bring": (
        ("Bring {d}, {e} and {f} for {x}.", "For {x} you need {d}, {e} and {f}.", "{X}: have {d}, {e} and {f} ready."),
        ("You need to bring {d}, {e} and {f} for {x}.", "Please bring {d} for {x}.",
         "For {x}, take {d} and {e} with you.",
         "For {x} we ask to see {e}.", "{D} and {f} are required for {x}.", "You will be asked for {e} for {x}."),
    ),
    "free": (
        ("With {s} the fee for {x} is waived.", "{X} is free of charge with {s}.",
         "Customers with {s} do not pay for {x}."),
        ("With {s} you do not pay for {x}.", "If you have {s}, {x} is free.", "{X} costs nothing with {s}.",
         "The fee for {x} falls away with {s}."),
    ),
}  # fmt: skip
OVER = ("You can {w} more than {v} {p}.", "The minimum {t} {p} is {v}.", "You must {w} at least {v} {p}.",
        "You have to {w} {v} or more {p}.", "The smallest {t} {p} is {v}.")  # fmt: skip
TURNED = {"least": "most", "has": "lacks", "lacks": "has"}
OPENINGS = ("", "", "", "Yes, ", "Sure: ", "As far as I can see, ", "According to our documents, ")


class Stated(NamedTuple):
    text: str
    evidence: list[str]
    carried: bool


def _part(items: Sequence[str], testing: bool) -> Sequence[str]:
    kept = max(round(TESTED * len(items)), 1)
    return items[-kept:] if testing else items[:-kept]


def _said(way: str, fact: dict[str, str]) -> str:
    first = {key.upper(): value[:1].upper() + value[1:] for key, value in fact.items() if key in "xd"}
    bare = fact["x"].removeprefix("an ").removeprefix("a ")
    text = way.format(**fact, **first, y=bare).replace("m..", "m.")
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)


def _joined(one: str, other: str) -> str:
    return f"{one.rstrip('.')}{', ' if len(one) > 30 else ' '}and {other[0].lower()}{other[1:]}"


def _opened(opening: str, text: str) -> str:
    return opening + (text[0].lower() + text[1:] if opening else text)


def _fact(kind: str, things: Sequence[str], rng: random.Random) -> dict[str, str]:
    amount = rng.choice((str(rng.randint(2, 95)), f"{rng.randint(1, 60)}.{rng.choice(('25', '50', '75', '95'))}"))
    t, v, p, *w = rng.choice(LIMITS if kind == "most" else MEASURES).split("|")
    d, e, f = rng.sample(PAPERS, 3)
    return {
        "x": rng.choice(things), "n": amount if kind == "price" else str(rng.randint(2, 30)), "t": t, "p": p,
        "v": v.format(rng.choice((rng.randint(2, 40), rng.randint(4, 90) * 10, rng.randint(2, 60) * 100))),
        "w": "".join(w), "m": str(rng.randint(31, 90)), "x2": rng.choice(things),
        "q": rng.choice(PLACES), "a": f"{rng.randint(6, 11)} a.m.", "b": f"{rng.randint(3, 11)} p.m.",
        "d": d, "e": e, "f": f, "s": rng.choice(STATUS),
    }  # fmt: skip


def _wrong(kind: str, way: str, fact: dict[str, str], others: Sequence[dict], testing: bool, rng: random.Random) -> str:
    """Another value, mostly one that stands in the evidence for something else; or the opposite."""
    if kind == "most" and rng.random() < 0.6:
        return _said(rng.choice(_part(OVER, testing)), fact)
    if kind == "pair" and rng.random() < 0.6:
        return _said(way, {**fact, "n": fact["m"], "m": fact["n"]})
    if kind in TURNED and rng.random() < 0.6:
        return _said(rng.choice(_part(WAYS[TURNED[kind]][1], testing)), fact)
    keys = {
        "price": "n",
        "time": "n",
        "least": "v",
        "most": "v",
        "pair": "nm",
        "range": "nm",
        "hours": "ab",
        "bring": "def",
        "free": "s",
    }
    if kind not in keys:  # of another thing nothing is said
        return _said(way, {**fact, "x": rng.choice([t for ts in THINGS.values() for t in ts.split("|")])})
    changed = dict(fact)
    for key in keys[kind]:
        values = [o[key] for o in others] + [_fact(kind, [fact["x"]], rng)[key]]
        changed[key] = rng.choice([v for v in values if v not in (fact["d"], fact["e"], fact["f"])] or values)
    if kind in ("price", "time", "free") and rng.random() < 0.4:  # what is said of one thing, said of another
        changed = {**rng.choice(others), "x": fact["x"]}
    return _said(way, changed)


def stated(most: int, testing: bool = False, seed: int = 3) -> Iterator[Stated]:
    """So many groups of answers to facts of one kind each, some right and some wrong, with the passages beside them."""
    rng = random.Random(seed)
    businesses = [b for b in THINGS if (b in TEST_BUSINESSES) == testing]
    for _ in range(most):
        kind, things = rng.choice(list(WAYS)), THINGS[rng.choice(businesses)].split("|")
        some = rng.sample(things, 3)
        facts = [_fact(kind, [x], rng) for x in some]
        if kind in ("least", "most"):  # of different measures each
            for fact, measure in zip(facts, rng.sample(LIMITS if kind == "most" else MEASURES, 3), strict=True):
                fact["t"], value, fact["p"], *done = measure.split("|")
                fact["v"] = value.format(rng.choice((rng.randint(2, 40), rng.randint(4, 90) * 10)))
                fact["w"] = "".join(done)
        if kind == "pair":
            spare = [x for x in things if x not in some]
            for fact, other_thing in zip(facts, rng.sample(spare, 3), strict=True):
                fact["x2"] = other_thing
        if kind == "hours":
            for fact, place in zip(facts, rng.sample(PLACES, 3), strict=True):
                fact["q"] = place
        documents, answers = WAYS[kind]
        lines = [_said(rng.choice(_part(documents, False)), fact) for fact in facts]
        other = rng.choice([k for k in WAYS if k != kind])
        if rng.random() < JOINED:
            lines = [_joined(lines[0], lines[1]), *lines[2:]]
        lines += [_said(rng.choice(_part(WAYS[other][0], False)), _fact(other, things, rng)) for _ in range(2)]
        title, first = rng.choice(("Fees", "Questions", "Good to know", "Our services", "Terms")), lines[0]
        rng.shuffle(lines)
        half = rng.randint(1, 4)
        evidence = [f"{title}. {' '.join(lines[:half])}", f"{title}. {' '.join(lines[half:])}"]
        fact, rest = facts[0], facts[1:]
        for _ in range(2):
            way = rng.choice(_part(answers, testing))
            opening = rng.choice(OPENINGS)
            right, wrong = _said(way, fact), _wrong(kind, way, fact, rest, testing, rng)
            if rng.random() < JOINED:
                second = _said(rng.choice(_part(answers, testing)), rest[0])
                right, wrong = _joined(right, second), _joined(*rng.sample((wrong, second), 2))
            yield Stated(_opened(opening, right), evidence, True)
            if wrong not in (right, first) and wrong not in [_said(w, f) for w in answers for f in facts]:
                yield Stated(_opened(opening, wrong), evidence, False)
