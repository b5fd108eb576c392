import pytest

from inhouse.text.words import content_words, length_in_words, plain, stem, tokens, value_of, words


def test_words_are_in_lower_case_without_punctuation():
    assert words("The O'Neill costs $1,000!") == ["the", "o", "neill", "costs", "1", "000"]
    assert plain("  Straße, 5 \n") == "strasse 5"


def test_stems_are_the_same_for_forms_of_a_word():
    assert {stem("charge"), stem("charged"), stem("charges"), stem("charging")} == {"charg"}


def test_content_words_are_stems_without_stop_words():
    assert content_words("You can get the two rooms' keys at $1,000.00, Miller's") == (
        "2", "room", "key", "1000", "miller")  # fmt: skip


def test_tokens_keep_small_words_and_signs():
    assert tokens("You get 5% of it") == ("you", "get", "5", "%", "of", "it")


def test_numbers_have_one_spelling():
    assert [value_of(t) for t in ("1,000.00", "1000", "0.50", "007", "0", "0.0")] == [
        "1000", "1000", ".5", "7", "0", "0"]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("It's free, 24/7.", 5),
        ("Die Gebühr beträgt 5 €.", 4),
        ("Gebu\u0308hr", 1),  # decomposed
        ("所有产品保修两年。", 6),
        ("可以的", 3),
        ("全製品二年間保証です。", 7),
        ("メール・アドレス", 5),
        ("iPhone 15 手机", 4),
        ("ฟรีสำหรับสมาชิก", 4),
        ("ບໍ່ເສຍຄ່າ", 2),
        ("ឥតគិតថ្លៃ", 2),
        ("အခမဲ့ဖြစ်ပါတယ်", 3),
        ("무료로 배송됩니다", 2),
        ("नमस्ते, यह मुफ़्त है", 4),
        ("الشحن مجّانيّ", 2),
        ("זה בחינם", 2),
        ("。！🙂", 0),
        ("", 0),
    ],
)
def test_length_in_words_of_every_script(text, length):
    assert length_in_words(text) == length
