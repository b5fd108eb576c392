"""Ordinary questions, with amounts, products, and places, of which the rails of personal data must replace nothing."""

from pathlib import Path

import pytest

from inhouse.chat import ChatRequest
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.pii import Pii
from inhouse.guardrails.rail import Turn
from inhouse.privacy.anonymize import Anonymizer
from inhouse.privacy.tagger import read_tagger
from inhouse.types import Example, Message

BANK = Path(__file__).parents[2] / "examples" / "first_national_bank" / "documents"
ORDINARY = """
House is worth 400,000 and I owe 200,000
how much is that on a 300000 dollar house?
I have 100k
account 12
form CA-1
I owe $4,000 on my card.
My mortgage is $300,000 at 6.5%
is $4,000 enough for the down payment
can I get 25000 dollars for 60 months
what would I pay on 15k over 3 years
The limit is $1,500 a day.
we earn about 85,000 a year together
My rent is 1450 per month
I would like to transfer 2500 euros to Spain
What is the APR on a $12,500.00 loan?
the fee of $35.00 was charged twice
Between $2,000 and $3,000 I guess
interest of 4.25% on 10000
my score is 655
a 30 year mortgage for 450,000
I need 50 checks
How many points for 20,000 spent?
I make 62k and my wife 48k
Deposit 500 and withdraw 200
It was 1,234.56 to be exact
put down 20 percent of 250000
I paid 12 x 99
Take 10% off 80 dollars
the minimum is 2,500 or 25,000?
schedule C form 1040
Do I need a W-2 or a 1099?
line 7 of form W-9
reserve a seat on flight 948
table for 4 at 7 pm
I want bus 12 at 9:30
room 204 please
option 3
level 2 support
Windows 11 update 23
version 2.3.1 fails
gate B12 at terminal 2
in 2024 I paid 900
between 2021 and 2023
the 15th of March
within 30 days
open 24/7?
chapter 7 bankruptcy
a 401k rollover
I have a 529 plan
Zone 4 ticket
House no pets
What does Summit Card cost?
Is the River Card good abroad?
do you have Ridge Checking in Millbrook
Alder Mobile does not start on my phone
Summit Rewards points for $500
Is the Stonebridge branch open on Saturday?
how far is Alder Falls
Can I add my son to River Checking?
Does Zelle work with Alder Mobile?
what is escrow
Guten Tag, haben Sie Kredite?
hola necesito ayuda
Is there a guesthouse nearby?
The guesthouse costs 80 pounds a night
I want a cheap guesthouse with wifi
I'm interested in a loan
I'm looking for a house around 350,000
I'm fine
it's free
this is urgent
Account closing fee 25
I'm Italian
i am late with payment 3
the name is wrong on my card
under the name of the company
""".strip().splitlines()
NAMED = (
    ("I'm mark I want an appointment", "mark"), ("under the name angela", "angela"), ("Name Angela.", "Angela"),
    ("Hi I'm mark reserve my flight 948", "mark"), ("im alexis", "alexis"), ("my name is jenny", "jenny"),
    ("it's for john under the name john", "john"), ("name: ben", "ben"), ("a booking in the name of kim", "kim"),
    ("this is angela, I need a ride", "angela"), ("i am mark and I want a room", "mark"), ("Name mark", "mark"),
    ("The name is alexis.", "alexis"), ("book it for me, name's jenny", "jenny"), ("RSVP to ben's party", "ben"),
    ("call me at 555-201-3344 ext. 12", "ext. 12"), ("my phone is (555) 201-3344 extension 45", "extension 45"),
    ("reach me on 555 201 3344 x77", "x77"), ("Phone: +1 555 201 3344 ext 901", "901"),
)  # fmt: skip


@pytest.fixture(scope="module")
def finder(models_dir):
    texts = [f.read_text(encoding="utf-8") for f in sorted(BANK.rglob("*.md"))]
    finder = Anonymizer(models_dir / "en-core-web-sm", ["Alder Falls", "Millbrook", "Stonebridge", "Alder Mobile"])
    finder.keep(t.lstrip("# ").partition("\n")[0] for t in texts)
    finder.learn(texts)
    return finder


def by_rail(finder, text):
    messages = (Message(role="user", content=text),)
    found = Pii(finder, read_tagger(TAGGER)).check("input", text, Turn(ChatRequest(messages=messages)))
    return found.messages[0].content if found else text


def by_anonymizer(finder, text):
    example = Example(id="1", group="1", messages=(Message(role="user", content=text),), target="ok")
    return finder.anonymize(example)[0].messages[0].content


@pytest.mark.parametrize("text", ORDINARY)
@pytest.mark.parametrize("replace", [by_rail, by_anonymizer])
def test_nothing_of_an_ordinary_question_is_replaced(finder, text, replace):
    assert replace(finder, text) == text


@pytest.mark.parametrize(("text", "value"), NAMED)
@pytest.mark.parametrize("replace", [by_rail, by_anonymizer])
def test_first_names_and_extensions_are_replaced(finder, text, value, replace):
    assert value not in replace(finder, text).split("<")[0] + replace(finder, text).partition(">")[2]
