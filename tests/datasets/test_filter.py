import pytest

from inhouse.config.sections import Curation
from inhouse.datasets.filter import duplicates, faults

GOOD = [
    ("pets?", "Yes, pets are welcome."),
    ("Fee?", "$18."),
    ("JSON please", '{"fee_usd": 18}'),
    ("When?", "The branch opens at 8:30 and closes at 17:30 from Monday to Friday, see alderfalls.example/hours"),
    ("Who?", "Thank you, <PERSON_1>, we will call you back."),
    ("Do you take Visa?", "We accept American Express, Mastercard, Visa, Maestro, and Solo."),
    ("I hit my head, is that covered?", "Do not worry, the plan covers all of this."),
]


@pytest.mark.parametrize(
    ("question", "reply", "reason"),
    [
        ("Fee?", "", "empty reply"),
        ("What is the fee?", "what is the fee", "the reply is a copy of the question"),
        ("Fee?", "<PERSON_1>", "only placeholders or punctuation"),
        ("Fee?", "asdf asdf", "keyboard noise"),
        ("Fee?", "test", "keyboard noise"),
        ("Fee?", "xkcdqwrt bnmzzz", "keyboard noise"),
        ("Fee?", "ok", "the reply has no content"),
        ("Fee?", "Read it yourself, you idiot.", "rude"),
        ("Fee?", "Well maybe.", "too short"),
        ("Fee?", "word " * 230 + ".", "too long"),
        ("Fee?", "The monthly fee is waived when you keep a daily balance of", "cut off in the middle of a sentence"),
        (
            "Fee?",
            "La cuenta no tiene comisión para los clientes y es gratis en el primer año.",
            "another language (es)",
        ),
        ("Fee?", "call the bank now " * 8 + ".", "repeats itself"),
    ],
)
def test_poor_replies_have_their_reason(chat, question, reply, reason):
    many = [chat(*pair) for pair in GOOD * 3]
    assert faults([*many, chat(question, reply)], Curation()) == {len(many): reason}


def test_good_short_replies_stay(chat):
    assert faults([chat(*pair) for pair in GOOD], Curation()) == {}


def test_a_language_that_the_business_speaks_stays(chat):
    spanish = chat("¿Cuánto es?", "La cuenta no tiene comisión para los clientes y es gratis en el primer año.")
    assert faults([*(chat(*pair) for pair in GOOD), spanish, spanish, spanish], Curation()) == {}


def test_duplicates(chat, embedder):
    rows = [
        chat("What is the fee for a domestic wire?", "A domestic wire costs $18 per transfer."),
        chat("what is the fee for a domestic wire", "A domestic wire costs $18 per transfer"),
        chat("What's the fee for a domestic wire?", "A domestic wire costs you $18 per transfer."),
        chat("What is the fee for a domestic wire?", "A domestic wire costs $25 per transfer."),
        chat("When do you open?", "We open at 8:30 on weekdays."),
    ]
    assert duplicates(rows, embedder, 0.9) == {1: (0, "exact duplicate"), 2: (0, "near duplicate")}
    assert duplicates(rows, embedder, 1) == {1: (0, "exact duplicate")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Deposits are refundable until the day of arrival.", "Deposits are nonrefundable until the day of arrival."),
        ("You pay the fee before the transfer is made.", "You pay the fee after the transfer is made."),
        ("The account has a monthly fee of a few dollars.", "The account has a yearly fee of a few dollars."),
        ("Yes, pets are welcome in all of our rooms here.", "No, pets are welcome in all of our rooms here."),
    ],
)
def test_replies_that_differ_in_meaning_are_both_kept(chat, embedder, one, other):
    rows = [chat("What are the terms of the account, please?", one), chat("What are the terms of the account?", other)]
    assert duplicates(rows, embedder, 0.9) == {}
