"""Questions that ask the same, and those that differ in something small that matters."""

import pytest

from inhouse.routing.one_case import about_one_case
from inhouse.routing.same import comparable, difference, written

SAME = [
    ("How much does a wire transfer cost?", "What is the price of a wire transfer?"),
    ("How do I close my account?", "Hello, could you tell me how I can close my account"),
    ("When do you open?", "What are your opening hours?"),
    ("Is it possible to pay by card?", "Can I pay by card?"),
    ("Do I need to bring a photo?", "Should I bring a picture?"),
    ("Why can't I log in?", "why can\u2019t i sign in"),
    ("How do I install the printer driver?", "How can I install the driver of the printer?"),
    ("How long does delivery take?", "How long do deliveries take?"),
]
DIFFERENT = [
    ("How much is a debit card?", "How much is a credit card?", "words: credit, debit"),
    ("Is plan 2 fast?", "Is plan 3 fast?", "words: 2, 3"),
    ("Is there a fee under $500?", "Is there a fee under 500 euros?", "words: euro"),
    ("Can I pay with a card?", "Can I pay without a card?", "marks"),
    ("Can I cancel after 14 days?", "Can I cancel before 14 days?", "marks"),
    ("Are pets allowed?", "Are pets not allowed?", "marks"),
    ("Can I close my account?", "Do I have to close my account?", "mode"),
    ("Can I call you?", "Can you call me?", "who"),
    ("What is my phone number?", "What is your phone number?", "whose"),
    ("Can I move money from savings to checking?", "Can I move money from checking to savings?", "order of words"),
    ("Does the landlord owe the tenant?", "Does the tenant owe the landlord?", "order of words"),
    ("Do I get a refund if you cancel?", "Do you get a refund if I cancel?", "who"),
    ("Can I send money to Spain?", "Can I send money from Spain?", "directions"),
    ("Is gold better than silver?", "Is silver better than gold?", "order of words"),
    ("When is a fee due?", "Why is a fee due?", "kind"),
    ("How long is the warranty on the X100?", "How long is the warranty on the X200?", "words: x100, x200"),
    ("How do I turn on roaming?", "How do I turn off roaming?", "marks"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_question_in_other_words(one, other):
    assert difference(one, other) == difference(other, one) == ""


@pytest.mark.parametrize(("one", "other", "what"), DIFFERENT)
def test_what_tells_questions_apart(one, other, what):
    assert difference(one, other) == difference(other, one) == what


def test_spelling_of_the_same_text():
    assert written("  Hi there!  What\u2019s  a CD ??") == "what's a cd"
    assert written("C++?") != written("C#?")
    assert written("It costs 1.5%") != written("It costs 15%")


def test_the_rules_are_for_short_english():
    assert comparable("How much does it cost to send money abroad?")
    assert not comparable("Wie viel kostet eine Überweisung ins Ausland?")
    assert not comparable("How much is it? " * 100)


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("Where is my order?", "On its way.", "asks about one person's case (where is my order)"),
        ("Why was I charged?", "It is the fee.", "asks about one person's case (why was)"),
        ("How do refunds work?", "I have refunded you.", "answers one person's case (i have refunded)"),
        ("How do returns work?", "Your package was sent back.", "answers one person's case (your package was)"),
        ("Do you open today?", "Yes, at 9.", "is about a moment (today)"),
        ("Do you open on Sundays?", "We do from next month on.", "is about a moment (next month)"),
        ("Can <PERSON_1> sign?", "Yes.", "holds a placeholder of personal data"),
    ],
)
def test_replies_that_suit_one_person_at_one_time(question, answer, why):
    assert about_one_case(question, answer) == why


def test_replies_that_suit_others():
    assert about_one_case("How do I cancel my order?", "Open the app, and choose your order.") == ""
    assert about_one_case("Can I change my address?", "Yes, under Settings.") == ""


def test_comparing_takes_linear_time(takes_linear_time):
    assert takes_linear_time(lambda text: difference(text, f"{text} more"), lambda n: "can i pay from a to b " * n)
    assert takes_linear_time(lambda text: about_one_case(text, text), lambda n: "what is my new your last i have " * n)
