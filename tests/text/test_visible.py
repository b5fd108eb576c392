"""What a reader sees of a text."""

from inhouse.text.visible import visible


def test_a_short_text_stays_short():
    """U+FDFA is 18 letters in NFKC."""
    assert len(visible("\ufdfa" * 1000).text) <= 8000
    assert visible("\ufdfb").text == "جل جلاله"
