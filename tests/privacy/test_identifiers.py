import pytest

from inhouse.privacy.identifiers import identifiers


def kinds(text):
    return {(s.kind, text[s.start : s.end]) for s in identifiers(text)}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("my iban is gb42nawi04454264788619 ok", "IBAN", "gb42nawi04454264788619"),
        ("mi DNI es 12345678Z gracias", "NATIONAL_ID", "12345678Z"),
        ("NIE X1234567L", "NATIONAL_ID", "X1234567L"),
        ("codice fiscale RSSMRA85T10A562S", "NATIONAL_ID", "RSSMRA85T10A562S"),
        ("numéro 1 84 12 76 451 089 46", "NATIONAL_ID", "1 84 12 76 451 089 46"),
        ("CPF 529.982.247-25", "NATIONAL_ID", "529.982.247-25"),
        ("Steuer-ID 86095742719", "NATIONAL_ID", "86095742719"),
        ("my BSN is 111222333", "NATIONAL_ID", "111222333"),
        ("social insurance number 046 454 286", "NATIONAL_ID", "046 454 286"),
        ("PESEL 44051401359", "NATIONAL_ID", "44051401359"),
        ("Aadhaar 2341 2341 2346", "NATIONAL_ID", "2341 2341 2346"),
        ("my TFN is 123 456 782", "NATIONAL_ID", "123 456 782"),
        ("personnummer 811228-9874", "NATIONAL_ID", "811228-9874"),
        ("cpf 52998224725", "NATIONAL_ID", "52998224725"),
        ("K1234567L is mine, NIE Y-1234567-X", "NATIONAL_ID", "Y-1234567-X"),
        ("ITIN 912-34-5678", "NATIONAL_ID", "912-34-5678"),
        ("NI number QQ123456C is not one, AB123456C is", "NATIONAL_ID", "AB123456C"),
        ("use sk-abcdefghijklmnop1234567890 please", "SECRET", "sk-abcdefghijklmnop1234567890"),
        ("key AKIAIOSFODNN7EXAMPLE", "SECRET", "AKIAIOSFODNN7EXAMPLE"),
        ("password: hunter2!x", "SECRET", "hunter2!x"),
        ("api key = 9f8e7d6c5b4a39281706f5e4", "SECRET", "9f8e7d6c5b4a39281706f5e4"),
        ("They're not answering at 99 668472", "PHONE", "99 668472"),
        ("reach me on 71-33-52-22", "PHONE", "71-33-52-22"),
        ("(37) 788-063", "PHONE", "(37) 788-063"),
    ],
)
def test_what_proves_itself_is_found(text, kind, value):
    assert (kind, value) in kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "The fee is $1,250.00 from 2019 to 2024 at 4.25%.",
        "Open 9:00-17:30, rooms 101 and 102, from 2026-03-04.",
        "DNI 12345678A", "PESEL 44051401358",
        "personnummer 811228-9873", "Steuer-ID 86095742718", "codice fiscale RSSMRA85T10A562T",
        "CPF 529.982.247-26", "gb42nawi04454264788618", "my BSN is 111222334",
        "My password does not work", "The API key page is missing", "Order 12345678 of 10,000 pieces",
        "the 12345678Y model",
    ],
)  # fmt: skip
def test_what_does_not_is_left(text):
    assert kinds(text) == set()


@pytest.mark.parametrize("text", ["Aadhaar 2341 2341 2347", "my TFN is 123 456 783"])
def test_a_number_with_a_wrong_check_digit_is_no_national_id(text):
    assert "NATIONAL_ID" not in {kind for kind, _ in kinds(text)}


def test_a_word_after_an_iban_is_not_part_of_it():
    assert ("IBAN", "GB42 NAWI 0445 4264 7886 19") in kinds("GB42 NAWI 0445 4264 7886 19 is mine")
