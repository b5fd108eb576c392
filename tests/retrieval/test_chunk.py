import time

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
    found = {c.heading: c.text for c in chunks(TEXT)}
    assert found["Questions > What does a wire cost?"] == "A wire costs $20."
    assert found["Questions > Is it fast?"] == "Yes, the same day."
    assert found[""] == "Intro to fees."
    assert "# not a heading" in found["Table"]


def test_long_sections_are_cut_at_sentences_and_none_is_too_long():
    text = " ".join(f"Sentence number {n} is here." for n in range(40))
    found = chunks(text, limit=12)
    assert all(words(c.text) <= 12 for c in found)
    assert all(c.text.endswith(".") for c in found)


@given(st.text(max_size=300), st.integers(3, 40))
def test_offsets_are_true_and_no_letter_is_lost(text, limit):
    found = chunks(text, limit)
    assert all(text[c.start : c.end] == c.text for c in found)
    assert all(a.end <= b.start for a, b in zip(found, found[1:], strict=False))


def test_a_text_without_line_ends_takes_linear_time():
    started = time.monotonic()
    assert len(chunks("x" * 2_000_000)) > 100
    assert len(chunks("word " * 400_000)) > 100
    assert time.monotonic() - started < 20
