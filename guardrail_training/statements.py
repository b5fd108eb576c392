"""Facts of made-up businesses as documents state them and as answers put them, right and wrong.

An answer that states a fact in other words is right; the price of something else, a denial, an opposite or an added
condition is wrong. The last wordings of each kind are held out for testing, as are two of the businesses.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guardrail_training import data as sets

TESTED = 0.25  # of the ways to say something
JOINED = 0.3  # of the answers, and of the documents' sentences, that say two things at once
COPIED = 0.15  # of the answers that say it as the documents do
SPELLED = 0.3  # of the sentences that write small numbers as words
ABOVE = 0.25  # of the facts whose thing is named by the passage's title alone
MORE = ("found", "found", "found", "contrast", "contrast", "free", "charged")  # kinds that come more often than others
DENIED = 0.3  # of the wrong ones that deny what is right, or add a condition to it
THINGS = {  # what costs, takes time or can be had, by business, many of them called nearly alike
    "bank": "an outgoing wire|an incoming wire|a stopped check|a certified check|a replacement card|a paper statement|"
            "an online statement|a night deposit|a mobile deposit|a declined payment|an account closure",
    "hotel": "covered parking|open-air parking|breakfast|a late check-out|an early check-in|an extra bed|a baby bed|"
             "airport pick-up|laundry|a spa visit",
    "clinic": "a first visit|a follow-up visit|a blood test|an eye test|a missed appointment|a flu shot|an X-ray|"
              "a new prescription|a repeat prescription|a video call",
    "support": "a new laptop|a replacement laptop|remote help|help on site|a new phone line|data recovery|"
               "an extra monitor|a password reset",
    "estate": "a viewing|a second viewing|a credit report|a lease renewal|a lost key|a spare key|a pet|a storage room|"
              "an inspection",
    "law": "a first consultation|a second opinion|a notarized copy|a plain copy|a power of attorney|a contract review|"
           "a court filing|a will",
    "shop": "express delivery|standard delivery|a return|gift wrapping|assembly|an exchange|a spare part|"
            "a basic warranty|an extended warranty",
    "gym": "a day pass|a month pass|a locker|a towel|a personal trainer|a guest visit|a yoga class|a swimming class",
    "garage": "an oil change|a tire change|a tire check|a tow|a courtesy car|a battery check|a car wash",
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
SMALL = "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
STATUS = ("a premium account", "a student card", "membership", "a yearly plan", "a senior pass", "a balance of $5,000")
PASSES = (  # what is valid for some time
    "the reset link", "a gift card", "the quote", "an offer", "a referral", "the access code", "a day ticket",
    "a visitor badge", "the permit", "a prescription", "the discount", "an estimate",
)  # fmt: skip
ACTS = (  # what may be allowed or not
    "bring a dog", "install private software", "smoke", "park overnight", "pay in cash", "take photos", "hang pictures",
    "cancel online", "eat at the desk", "sublet a room", "print in color", "record a call", "use a drone",
    "swap shifts",
)  # fmt: skip
SPOTS = ("in the main building", "at our branches", "on weekends", "on the terrace", "during the trial", "at any time")
DEADLINES = (  # what is done by an hour, and what happens then
    "order|placed|place your order|arrives the next day|arrive the next day",
    "wire|sent|send a wire|is credited the same day|be credited the same day",
    "claim|filed|file your claim|is reviewed the same week|be reviewed the same week",
    "ticket|opened|open a ticket|is answered the same day|be answered the same day",
    "parcel|handed in|hand in the parcel|leaves the same evening|leave the same evening",
    "booking|made|make a booking|is confirmed at once|be confirmed at once",
)  # fmt: skip
EVENTS = (  # what happens how often, in other words, and what follows, in other words
    "wrong attempts|failed attempts|the account is locked|your account locks",
    "late payments|missed payments|the rate goes up|your rate rises",
    "missed visits|no-shows|the place is given away|you lose your place",
    "free visits|visits without charge|a fee applies|you pay a fee",
    "years without a claim|claim-free years|the premium falls|your premium goes down",
    "stays|nights with us|one night is free|you get a free night",
    "reminders|letters|the case goes to court|we take you to court",
)  # fmt: skip
JOBS = (  # who does what
    "the help desk|unlock your account", "your branch|raise your limit", "the pharmacist|renew a prescription",
    "your agent|change the lease", "the front desk|extend your stay", "a technician|replace the battery",
    "your manager|approve overtime", "the notary|certify a copy", "the nurse|draw blood",
    "our lawyers|check a contract",
)  # fmt: skip
NAMES = ("Ashford House", "Blue Finch", "Corner Street", "Dunmore", "Elm Court", "Fairview", "Grey Heron", "Hillside")
FOUND = """
    bed mattress sofa chair; soft, comfortable, cozy; hard, uncomfortable, lumpy; broken, old, missing
    room hall lounge garden; quiet, peaceful, calm; noisy, loud, never quiet; tiny, cold, hot
    waiter clerk receptionist guide; friendly, kind, helpful; rude, unfriendly, unhelpful; slow, forgetful, new
    breakfast soup dessert steak; delicious, tasty, excellent; bland, tasteless, awful; cold, late, expensive
    connection lift checkout website; fast, quick, speedy; slow, sluggish, a test of patience; broken, unreliable
    queue wait drive form; short, brief, over quickly; long, endless, a matter of hours; disorderly, boring, new
    letter manual bill guide; clear, easy to follow, understandable; confusing, unclear, hard to follow; late, wrong
    app machine portal menu; simple, easy to use, straightforward; complicated, difficult, hard to use; slow, ugly
    doctor teacher advisor nurse; patient, calm, never hurried; impatient, hurried, always in a rush; late, rude
    bathroom kitchen pool ward; clean, spotless, tidy; dirty, filthy, not clean; tiny, dark, closed
    lot entrance suite closet; big, spacious, roomy; small, cramped, tiny; unlit, far away, dirty
    price fee rate charge; fair, reasonable, cheap; steep, too high, expensive; unclear, hidden, new
    view building terrace park; beautiful, lovely, pretty; ugly, unattractive, nothing to look at; blocked, closed
    agent driver technician officer; polite, courteous, respectful; impolite, disrespectful; late, absent, new
    location station office shop; close, nearby, within walking distance; far, remote, a long way off; closed, dark
"""  # things; words for good; for bad; for something else

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
        ("With {s} you do not pay for {x}.", "We do not charge you for {x} with {s}.",
         "If you have {s}, {x} is free.", "{X} costs nothing with {s}.",
         "The fee for {x} falls away with {s}."),
    ),
    "charged": (
        ("The fee for {x} is not waived with {s}.", "Even with {s}, {x} is not free of charge.",
         "Customers with {s} pay for {x} too.", "With {s} the fee for {x} still applies."),
        ("With {s} you still pay for {x}.", "{X} is not free, even if you have {s}.",
         "{S} does not waive the fee for {x}.",
         "You pay for {x} with {s} as well.", "The fee for {x} does not fall away with {s}."),
    ),
    "spared": (
        ("For {x} you need {d}, but not {e}.", "{X}: bring {d}. {E} is not needed.",
         "{D} is enough for {x}; leave {e} at home."),
        ("You do not need {e} for {x}.", "For {x} bring {d} only.", "{E} is not required for {x}.",
         "You can come without {e} for {x}.", "There is no need to bring {e} for {x}."),
    ),
    "contrast": (
        ("{X} costs ${n}, {x2} is free.", "{X2} is free of charge; for {x} we charge ${n}.",
         "We charge ${n} for {x}, but nothing for {x2}.", "{X} is ${n}. There is no charge for {x2}.",
         "{X2} is complimentary at {at}, {x} is ${n}.", "{X} is ${n} at {at}, where {x2} is free."),
        ("You do not pay for {x2}.", "{At} does not charge for {x2}.", "They do not charge anything for {x2}.",
         "We do not charge for {x2}.", "{X2} is free at {at}.", "{At} charges for {x}.", "{X2} costs nothing.",
         "For {x2} there is no charge.", "You pay ${n} for {x}.",
         "{X} is ${n}, {x2} is free.", "{X2} is free.", "{X} costs ${n}.", "Nothing is charged for {x2}.",
         "We ask ${n} for {x} and nothing for {x2}.", "{X2} comes without a fee."),
    ),
    "valid": (
        ("{Pass} is valid for {n} {unit}.", "{Pass} expires after {n} {unit}.", "{Pass} can be used within {n} {unit}.",
         "After {n} {unit} {pass} is no longer valid.", "{Pass}: valid {n} {unit}."),
        ("{Pass} expires after {n} {unit}.", "You can use {pass} for {n} {unit}.", "{Pass} stays valid for {n} {unit}.",
         "You have {n} {unit} to use {pass}.", "After {n} {unit} you cannot use {pass} any more.",
         "{Pass} is good for {n} {unit}.", "{Pass} runs out after {n} {unit}.", "{Pass} lasts {n} {unit}."),
    ),
    "allowed": (
        ("You may {act} {spot}.", "It is allowed to {act} {spot}.", "{Spot} you can {act}.", "We let you {act} {spot}.",
         "May I {act} {spot}? Yes, gladly."),
        ("Yes, you can {act} {spot}.", "You may {act} {spot}.", "It is fine to {act} {spot}.",
         "You are allowed to {act} {spot}.",
         "Nobody minds if you {act} {spot}.", "They let you {act} {spot}.", "It is permitted to {act} {spot}."),
    ),
    "forbidden": (
        ("You must not {act} {spot}.", "It is forbidden to {act} {spot}.", "{Spot} you cannot {act}.",
         "Please do not {act} {spot}.", "May I {act} {spot}? No, sorry."),
        ("No, you cannot {act} {spot}.", "You may not {act} {spot}.", "It is not allowed to {act} {spot}.",
         "You must not {act} {spot}.",
         "They do not let you {act} {spot}.", "It is prohibited to {act} {spot}.", "You should not {act} {spot}."),
    ),
    "deadline": (
        ("A {sent} {done} before {b} {result}.", "If you {do} before {b}, it {result}.",
         "A {sent} that is {done} by {b} will {will}.", "{Do} before {b} and it will {will}."),
        ("A {sent} {done} before {b} {result}.", "{Do} before {b} and it {result}.",
         "If you {do} by {b}, it will {will}.",
         "You have to {do} before {b} for it to {will}.", "A {sent} has to be {done} before {b} to {will}.",
         "It will {will} if you {do} before {b}."),
    ),
    "after": (
        ("After {n} {events} {follows}.", "{Follows} after {n} {events}.", "{N} {events}, and {follows}.",
         "If there are {n} {events}, {follows}."),
        ("After {n} {events2} {follows2}.", "{Follows2} after {n} {events2}.", "With {n} {events2} {follows2}.",
         "After {n} {events} {follows2}.",
         "It takes {n} {events2} until {follows2}.", "Once there are {n} {events}, {follows2}."),
    ),
    "job": (
        ("{Who} can {job}.", "Ask {who} to {job}.", "Only {who} may {job}.", "To {job} is what {who} is there for."),
        ("{Who} is able to {job}.", "{Who} will {job} for you.", "You can ask {who} to {job}.", "{Who} can {job}.",
         "Please go to {who}, they can {job}.", "It is {who} that can {job}.", "Turn to {who} to {job}."),
    ),
    "found": (
        ("The {o} {was} {j}.", "At {at} the {o} {was} {j}.", "We found the {o} {j}.",
         "The food was fine and the {o} {was} {j}.",
         "I came with friends and the {o} {was} really {j}.", "The {o}: {j}, as always.",
         "What I remember is that the {o} {was} {j}.", "I would call the {o} {j}."),
        ("The {o} {was} {k}.", "The {o} {are} {k}.", "Guests found the {o} {k}.",
         "According to a visitor the {o} {was} {k}.",
         "The {o} at {at} {are} {k}.",
         "The {o} at {at} {was} {k}.", "Guests say that the {o} {was} {k}.",
         "One review calls the {o} {k}.",
         "People say that the {o} {are} {k}.", "Reviewers describe the {o} as {k}.", "The {o} {are} said to be {k}."),
    ),
}  # fmt: skip
OVER = ("You can {w} more than {v} {p}.", "The minimum {t} {p} is {v}.", "You must {w} at least {v} {p}.",
        "You have to {w} {v} or more {p}.", "The smallest {t} {p} is {v}.")  # fmt: skip
TURNED = {"has": "lacks", "lacks": "has", "free": "charged", "charged": "free", "spared": "bring", "bring": "spared",
          "allowed": "forbidden", "forbidden": "allowed"}  # fmt: skip
CHANGED = {  # what is another in a wrong answer
    "price": "n", "contrast": "n", "time": "n", "least": "v", "most": "v", "pair": "nm", "range": "nm", "hours": "ab",
    "bring": "def", "free": "s", "charged": "s", "spared": "e", "found": "k", "valid": ["n", "unit"],
    "allowed": ["act"], "forbidden": ["act"], "deadline": "b", "job": ["who"], "after": ["n", "events2"],
}  # fmt: skip
_OF_PEOPLE = re.compile(r"\b([Yy]ou|[Ww]e|[Tt]hey) (pay|ask|charge|need|offer|wait|have|may)\b")
_NONE = re.compile(r"\b(?:[Nn]o|Nobody|nothing)\b")
OPENINGS = ("", "", "", "Yes, ", "Sure: ", "As far as I can see, ", "According to our documents, ")


class Stated(NamedTuple):
    text: str
    evidence: list[str]
    supported: bool


def _part(items: Sequence[str], testing: bool) -> Sequence[str]:
    kept = max(round(TESTED * len(items)), 1)
    return items[-kept:] if testing else items[:-kept]


def _worded(way: str, fact: dict[str, str]) -> str:
    first = {key.capitalize(): value[:1].upper() + value[1:] for key, value in fact.items()}
    text = way.format(**fact, **first, y=re.sub("^an? ", "", fact["x"])).replace("m..", "m.")
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text[0].upper() + text[1:])


def _joined(one: str, other: str) -> str:
    return f"{one.rstrip('.')}{', ' if len(one) > 30 else ' '}and {_low(other)}"


def _spelled(text: str, rng: random.Random) -> str:
    if rng.random() > SPELLED:
        return text
    text = re.sub(r"(?<![$.\d])\b([2-9]|1[0-2])\b(?!\.\d| [ap]\.m)", lambda m: SMALL[int(m[1])], text)
    return text[0].upper() + text[1:]


def _opened(opening: str, text: str) -> str:
    return text if not opening or text.startswith(("Yes", "No", "I ")) else opening + _low(text)


def _low(text: str) -> str:
    return text if text.startswith("I ") else text[0].lower() + text[1:]


def _denied(text: str, testing: bool, rng: random.Random) -> str:
    """The statement denied, or with an added condition; "" where that is not possible."""
    errors = dict(sets.with_errors(text, [], rng, testing))
    if "negation" not in errors and (m := _OF_PEOPLE.search(text)):
        denied = f"{m[1]} may not" if m[2] == "may" else f"{m[1]} do not {m[2]}"
        errors["negation"] = text[: m.start()] + denied + text[m.end() :]
    if _NONE.search(text):
        errors.pop("negation", None)
    return errors.get("condition" if rng.random() < 0.25 else "negation", "")


def _facts(kind: str, things: Sequence[str], rng: random.Random) -> list[dict[str, str]]:
    """Three facts of a kind, each about different things."""
    measures = [row.split("|") for row in rng.sample(LIMITS if kind == "most" else MEASURES, 3)]
    some, places, seen = rng.sample(things, 6), rng.sample(PLACES, 3), rng.sample(FOUND.strip().split("\n"), 3)
    passes, acts, jobs = rng.sample(PASSES, 3), rng.sample(ACTS, 3), rng.sample(JOBS, 3)
    deadlines, events = rng.sample(DEADLINES, 3), rng.sample(EVENTS, 3)
    found = []
    for n, (t, v, p, *w) in enumerate(measures):
        amount = rng.choice((str(rng.randint(2, 95)), f"{rng.randint(1, 60)}.{rng.choice(('25', '50', '75', '95'))}"))
        d, e, f = rng.sample(PAPERS, 3)
        nouns, *felt = seen[n].split("; ")
        good, bad, also = (words.split(", ") for words in felt)
        side, opposite = rng.sample((good, bad), 2)
        many = rng.random() < 0.4
        said = [*side, *(f"not {word}" for word in opposite if " " not in word)]
        unsaid = [*opposite, *also, *(f"not {word}" for word in side if " " not in word)]
        who, job = jobs[n].split("|")
        sent, done, do, result, will = deadlines[n].split("|")
        found.append({
            "x": some[n], "x2": some[n + 3], "n": amount if kind == "price" else str(rng.randint(2, 30)),
            "t": t, "p": p,
            "v": v.format(rng.choice((rng.randint(2, 40), rng.randint(4, 90) * 10, rng.randint(2, 60) * 100))),
            "w": "".join(w), "m": str(rng.randint(31, 90)), "q": places[n], "a": f"{rng.randint(6, 11)} a.m.",
            "b": f"{rng.randint(3, 11)} p.m.", "d": d, "e": e, "f": f, "s": rng.choice(STATUS), "at": rng.choice(NAMES),
            "o": rng.choice(nouns.split()) + "s" * many, "was": "were" if many else "was",
            "are": "are" if many else "is",
            "j": rng.choice(side), "k": rng.choice(said),
            "not": rng.choice(unsaid),
            "pass": passes[n], "unit": rng.choice(("minutes", "hours", "days", "months")), "act": acts[n],
            "spot": rng.choice(SPOTS), "sent": sent, "done": done, "do": do, "result": result, "will": will,
            "who": who, "job": job,
            **dict(zip(("events", "events2", "follows", "follows2"), events[n].split("|"), strict=True)),
        })  # fmt: skip
    return found


def _wrong(kind: str, way: str, fact: dict[str, str], others: Sequence[dict], testing: bool, rng: random.Random) -> str:
    """The statement with another value, mostly of something else in the evidence; its opposite; or a denial."""
    if rng.random() < DENIED and (text := _denied(_worded(way, fact), testing, rng)):
        return text
    if kind == "most" and rng.random() < 0.6:
        return _worded(rng.choice(_part(OVER, testing)), fact)
    if kind == "pair" and rng.random() < 0.6:
        return _worded(way, {**fact, "n": fact["m"], "m": fact["n"]})
    if kind == "hours" and rng.random() < 0.4:
        return _worded(way, {**fact, "a": fact["b"], "b": fact["a"]})
    if kind == "contrast" and rng.random() < 0.7:
        return _worded(way, {**fact, "x": fact["x2"], "x2": fact["x"]})
    if kind == "deadline" and rng.random() < 0.5:
        return re.sub(r"\b(?:before|by)\b", "after", _worded(way, fact))
    if kind in TURNED and rng.random() < 0.6:
        return _worded(rng.choice(_part(WAYS[TURNED[kind]][1], testing)), fact)
    if kind not in CHANGED:  # of another thing nothing is said
        return _worded(way, {**fact, "x": rng.choice([t for ts in THINGS.values() for t in ts.split("|")])})
    changed = dict(fact)
    for key in CHANGED[kind]:
        values = [o[key] for o in others]
        values += [fact["not"]] * 3 if key == "k" else [_facts(kind, [fact["x"]] * 6, rng)[0][key]]
        changed[key] = rng.choice([v for v in values if v not in (fact["d"], fact["e"], fact["f"])] or values)
    changed["j"] = changed["k"]
    if kind in ("price", "time", "free", "found") and rng.random() < 0.4:  # what is said of one thing, said of another
        changed = {**rng.choice(others), **{key: fact[key] for key in ("x", "o", "was", "are")}}
    return _worded(way, changed)


def stated(most: int, testing: bool = False, seed: int = 3) -> Iterator[Stated]:
    """`most` groups of answers to facts of one kind each, some right and some wrong, with their passages."""
    rng = random.Random(seed)
    businesses = [b for b in THINGS if (b in TEST_BUSINESSES) == testing]
    for _ in range(most):
        kind, business = rng.choice([*WAYS, *MORE]), rng.choice(businesses)
        fact, *rest = _facts(kind, THINGS[business].split("|"), rng)
        documents, answers = WAYS[kind]
        lines = [_worded(rng.choice(_part(documents, False)), f) for f in (fact, *rest)]
        first, above = lines[0], []
        if kind in ("price", "time", "range", "bring", "free", "charged", "spared", "valid") and rng.random() < ABOVE:
            key = "pass" if kind == "valid" else "x"
            alone = _worded(rng.choice(_part(documents, False)), {**fact, key: "it"})
            above = [f"{re.sub('^(?:an?|the) ', '', fact[key]).capitalize()}. {alone}"]
            lines = lines[1:]
        elsewhere = THINGS[rng.choice([b for b in businesses if b != business])].split("|")
        if rng.random() < JOINED:
            lines = [_joined(lines[0], lines[1]), *lines[2:]]
        for other in rng.sample([k for k in WAYS if k not in (kind, TURNED.get(kind))], 2):
            lines += [_worded(rng.choice(_part(WAYS[other][0], False)), f) for f in _facts(other, elsewhere, rng)[:2]]
        title = rng.choice(("Fees", "Questions", "Good to know", "Our services", "Terms"))
        rng.shuffle(lines)
        half = rng.randint(1, len(lines) - 1)
        evidence = [f"{title}. {_spelled(' '.join(part), rng)}" for part in (lines[:half], lines[half:])] + above
        for _ in range(2):
            copied = rng.random() < COPIED and not above
            way = rng.choice(_part(documents if copied else answers, testing and not copied))
            right, wrong = first if copied else _worded(way, fact), _wrong(kind, way, fact, rest, testing, rng)
            if rng.random() < JOINED:
                second = _worded(rng.choice(_part(answers, testing)), rest[0])
                right, wrong = _joined(right, second), _joined(*rng.sample((wrong, second), 2))
            right, wrong = _spelled(right, rng), _spelled(wrong, rng)
            opening = rng.choice(OPENINGS)
            yield Stated(_opened(opening, right), evidence, True)
            if wrong not in (right, first) and wrong not in [_worded(w, f) for w in answers for f in (fact, *rest)]:
                yield Stated(_opened(opening, wrong), evidence, False)
