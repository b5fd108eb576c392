import re
from pathlib import Path

import pytest

from inhouse.datasets.conversations import read_conversations
from inhouse.errors import BackendError
from inhouse.privacy.anonymize import Anonymizer
from inhouse.privacy.recognizers import PHONE_DIGITS


def said(example):
    return "\n".join([*(m.content for m in example.messages), example.target])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my card 4111 1111 1111 1111 was charged $300", "my card <CARD_NUMBER_1> was charged $300"),
        ("write to jo.b@alderfalls.example", "write to <EMAIL_1>"),
        ("account ending in 4821", "account ending in <ACCOUNT_NUMBER_1>"),
        ("SSN 123-45-6789, dob: 4th of July 1978", "SSN <SSN_1>, dob: <DATE_OF_BIRTH_1>"),
        ("IBAN GB56HXDO88167774656119", "IBAN <IBAN_1>"),
        ("my pin is 9503, not 9503", "my pin is <PIN_1>, not <PIN_1>"),
        ("order #A-99123 has not come", "order #<ORDER_NUMBER_1> has not come"),
        ("I live at 42 Elm Street, apt 4", "I live at <ADDRESS_1>"),
        ("call me on (555) 123-4567", "call me on <PHONE_1>"),
        ("from 106.31.73.20 at 10:30", "from <IP_ADDRESS_1> at 10:30"),
        ("my name is katarina miller", "my name is <PERSON_1>"),
        ("Is a 12-month CD at 4.25% with $12,500.00 better than in 2019?", None),
        ("Can I buy at Best Buy near the Cambridge Belfry?", None),
        ("Could the Belfry be booked from 2026-03-04 for 3 nights?", None),
    ],
)
def test_shapes(chat, anonymizer, text, expected):
    assert anonymizer.anonymize(chat(text, "Yes, of course."))[0].question == (expected or text)


def test_what_was_asked_for_is_replaced_in_every_turn(chat, anonymizer):
    example = chat(
        "hi, money is gone",
        "Could I get your full name, please?",
        "katarina miller",
        "Can you tell me your account number, please?",
        "8573 1890",
        "Right, and your PIN as well please.",
        "i forget!",
        "What was your mother's maiden name?",
        "it was wong. oh wait, try 7402",
        "Thank you, Katarina. Account 85731890 is blocked, Ms. Miller, the $300 are safe.",
    )
    done, counts = anonymizer.anonymize(example)
    assert [m.content for m in done.messages[2::2]] == [
        "<PERSON_1>", "<ACCOUNT_NUMBER_1>", "i forget!", "it was <SECRET_1>. oh wait, try <PIN_1>"]  # fmt: skip
    assert (
        done.target
        == "Thank you, <PERSON_1>. Account <ACCOUNT_NUMBER_1> is blocked, Ms. <PERSON_1>, the $300 are safe."
    )
    assert counts == {"PERSON": 1, "ACCOUNT_NUMBER": 1, "PIN": 1, "SECRET": 1}


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        ("What is your account number?", "My phone is 555 012 3456.", "My phone is <PHONE_1>."),
        ("What is your account number?", "It is 55512345.", "It is <ACCOUNT_NUMBER_1>."),
        ("Which account has no fee?", "Order 12345678 did.", "Order <ORDER_NUMBER_1> did."),
        ("Your account no. please", "12345678", "<ACCOUNT_NUMBER_1>"),
    ],
)
def test_a_numbers_own_words_come_before_what_was_asked_for(chat, anonymizer, first, then, expected):
    done = anonymizer.anonymize(chat("Hello", first, then, "Thank you."))[0]
    assert done.messages[-1].content == expected


def test_digits_that_stick_to_a_word_are_replaced(chat, anonymizer):
    example = chat("hi", "Your PIN please.", "I think my PIN is either3941 or 7402", "Thank you.")
    assert anonymizer.anonymize(example)[0].question == "I think my PIN is either<PIN_1> or <PIN_2>"


def test_a_conversation_without_personal_data_is_untouched(chat, anonymizer):
    example = chat("Do you open on Saturday?", "Yes, from 9:00 to 13:00.")
    assert anonymizer.anonymize(example) == (example, {})


def test_what_stands_in_the_documents_is_public(chat, spacy_folder):
    own = Anonymizer(spacy_folder, [])
    example = chat("Is 1-800-555-0142 or help@bank.example yours? I am at 1-800-555-0177", "Yes, call 1-800-555-0142.")
    done, _ = own.anonymize(example)
    assert done.question == "Is <PHONE_1> or <EMAIL_1> yours? I am at <PHONE_2>"
    assert done.target == "Yes, call <PHONE_1>."
    own.learn(["Lost cards: 1 800 555 0142, help@bank.example"])
    done, _ = own.anonymize(example)
    assert done.question == "Is 1-800-555-0142 or help@bank.example yours? I am at <PHONE_1>"
    assert done.target == example.target


def test_ids_that_are_personal_are_hashed(chat, anonymizer):
    example = chat(
        "I am jo@mail.example", "Hello.", id="jo@mail.example", group="jo@mail.example", tags=("jo@mail.example",)
    )
    done, _ = anonymizer.anonymize(example)
    assert "jo@" not in done.model_dump_json()
    assert done.group == done.id


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(BackendError, match="not a spaCy model"):
        Anonymizer(tmp_path)


@pytest.mark.data
def test_bank_dialogues_keep_no_account_number_pin_or_name(data_dir, anonymizer):
    file = Path(data_dir) / "star" / "bank.jsonl"
    examples = read_conversations([file], {})[0][:120]
    anonymizer.read_ahead(examples)
    names = r"(?i)\b(?:sarah|brown|jane|doe|tyler|jones|john|smith|katarina|miller|brian|white)\b"
    numbers = r"\b(?:85731890|9931939443153|153531981|68318931|84318931431|95381901|351531510|93418043810"
    numbers += r"|9503|7402|1596|9431|3941|0314|3100|5380)\b"
    before = "\n".join(said(e) for e in examples)
    after = "\n".join(said(anonymizer.anonymize(e)[0]) for e in examples)
    for pattern in (names, numbers):
        assert len(re.findall(pattern, before)) > 100
        assert re.findall(pattern, after) == []


def test_texts_with_too_few_digits_for_a_phone_number_are_not_searched_for_one():
    import phonenumbers
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    of_regions = [phonenumbers.PhoneMetadata.metadata_for_region(r) for r in PhoneRecognizer().supported_regions]
    every = [phonenumbers.PhoneMetadata.metadata_for_region(r) for r in phonenumbers.SUPPORTED_REGIONS]
    shortest = min(n for region in of_regions for n in region.general_desc.possible_length)
    abroad = min(len(str(r.country_code)) + min(r.general_desc.possible_length) for r in every)
    assert min(shortest, abroad) == PHONE_DIGITS
