import pytest

from inhouse.text.sentences import every_sentence, first_sentence, sentences, unwrapped, windows


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It costs $2.50 a day. See Dr. Miller.", ["It costs $2.50 a day.", "See Dr. Miller."]),
        ("Ask J. Smith, e.g. by mail. Or Mrs. Jones!", ["Ask J. Smith, e.g. by mail.", "Or Mrs. Jones!"]),
        ('He said "no." Then he left.', ['He said "no.', "Then he left."]),
        ("# Fees\n\n- a wire: $25\n- a check: $1", ["Fees", "a wire: $25", "a check: $1"]),
        ("Held for 8\nbusiness days.\nAsk us.", ["Held for 8 business days.", "Ask us."]),
        ("", []),
        ("\n - \n", []),
    ],
)
def test_sentences_and_lines_are_told_apart(text, parts):
    assert sentences(text) == parts


def test_only_lines_that_continue_are_joined():
    assert unwrapped("held for 8\nbusiness days:\n- one\nTwo\nthree.\nfour") == (
        "held for 8 business days:\n- one\nTwo three.\nfour"
    )


def test_every_sentence_is_cut_after_abbreviations_and_single_words_are_left_out():
    assert every_sentence("Ask Dr. Miller today. Now. It is quick.") == ["Ask Dr.", "Miller today.", "It is quick."]


def test_windows_hold_every_word_and_no_more_than_allowed():
    text = " ".join(f"w{n}" for n in range(100)) + ". End of it."
    assert " ".join(windows(text)).split() == text.split()
    assert max(len(w.split()) for w in windows(text)) == 40
    assert [len(w.split()) for w in windows(text, 50)] == [50, 50, 3]


def test_windows_are_cut_between_sentences():
    assert windows("One two. Three four five. Six.", 4) == ["One two.", "Three four five. Six."]
    assert windows("这是。 那是？ 好！ 是", 2) == ["这是。 那是？", "好！ 是"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It is open. We", "It is open. "),
        ("It is open.", None),  # "It is open.5" may follow
        ("It is open. ", None),
        ('"It is open!" We', '"It is open!" '),
        ("Ask Dr. Miller. We", "Ask Dr. Miller. "),
        ("Ask Dr. Mil", None),
        ("Fees\n\n- one", "Fees\n\n"),
    ],
)
def test_the_first_sentence_is_complete_when_the_next_begins(text, first):
    assert first_sentence(text) == first


def test_long_runs_of_marks_take_no_time():
    for hostile in ("!" * 50_000, "\n" * 20_000, "A. " * 20_000, "'" * 50_000, "." + "'" * 50_000):
        assert first_sentence(hostile) is None
        assert len(sentences(hostile)) < 2
