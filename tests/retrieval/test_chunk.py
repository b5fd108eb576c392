import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.retrieval.chunk import chunk_document
from inhouse.types import Document

TEXT = """# Fees

Intro to fees.

## Questions

### What does a wire cost?

A wire costs $20.

### Is it fast?

Yes, the same day.

## Table

| service | fee |
|---|---|
| check | $1 |
| order | $2 |

```
# not a heading
```
"""


def words(text):
    return len(text.split())


def chunks(text, limit=50):
    return chunk_document(Document(source="a.md", text=text, title="Fees"), words, limit)


def test_sections_are_chunks_that_know_their_heading_path():
    by_heading = {c.heading: c.text for c in chunks(TEXT)}
    assert by_heading["Questions > What does a wire cost?"] == "A wire costs $20."
    assert by_heading["Questions > Is it fast?"] == "Yes, the same day."
    assert by_heading[""] == "Intro to fees."


def test_code_has_no_headings():
    assert "# not a heading" in [c.text for c in chunks(TEXT) if c.heading == "Table"][-1]


@pytest.mark.parametrize(
    ("line", "heading"),
    [("## Wires ##", "Wires"), ("## C# and more", "C# and more"), ("## ##", "#"), ("   ## Wires", "Wires")],
)
def test_marks_around_a_heading_are_removed(line, heading):
    assert chunks(f"{line}\n\ntext")[0].heading == heading


def test_a_very_long_heading_is_text():
    line = "# " + "word " * 100
    assert [(c.heading, c.text) for c in chunks(line, limit=200)] == [("", line.strip())]


def test_long_sections_are_cut_at_sentences_and_none_is_too_long():
    cut = chunks(" ".join(f"Sentence number {n} is here." for n in range(40)), limit=12)
    assert all(words(c.text) <= 12 for c in cut)
    assert all(c.text.endswith(".") for c in cut)


@given(st.text(st.characters(exclude_characters="|"), max_size=300), st.integers(3, 40))
def test_chunks_are_spans_that_do_not_overlap(text, limit):
    cut = chunks(text, limit)
    assert all(text[c.start : c.end] == c.text for c in cut)
    assert all(a.end <= b.start for a, b in zip(cut, cut[1:], strict=False))


@given(st.text("ab .\n-", max_size=300), st.integers(3, 40))
def test_no_letter_of_a_text_without_headings_is_lost(text, limit):
    assert "".join("".join(c.text for c in chunks(text, limit)).split()) == "".join(text.split())


@pytest.mark.parametrize("part", ["x", "word ", ". ", "\n", " \n", "# ", "# a #", "#", "```\n", "\n# a\n", "|\n"])
def test_repetition_takes_linear_time(part, takes_linear_time):
    assert takes_linear_time(chunks, lambda n: "# " + part * n + "a")


def test_each_row_of_a_table_is_a_sentence_with_its_columns():
    rows = "| check | $1 | |\n| order | $2 | each |\n| ragged | row |"
    text = f"# Fees\n\nAll prices.\n\n| service | fee | note |\n|---|---|---|\n{rows}\n\nCall us."
    cut = chunks(text)
    said = ["All prices.", "check: fee $1.", "order: fee $2 (each).", "| ragged | row |\n\nCall us."]
    assert [c.text for c in cut] == said
    assert [text[c.start : c.end] for c in cut[1:3]] == ["| check | $1 | |", "| order | $2 | each |"]


def test_a_row_too_long_for_a_chunk_is_cut():
    text = f"| a | b |\n|---|---|\n| {'word ' * 30} | x |"
    cut = chunks(text, limit=10)
    assert max(words(c.text) for c in cut) <= 10
    assert sum(c.text.count("word") for c in cut) == 30
