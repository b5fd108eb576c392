from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from inhouse.retrieval.chunk import chunk_document, document_digest
from inhouse.retrieval.ranking import passage_of
from inhouse.types import Document, Place

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
    said = ["service check: fee $1.", "service order: fee $2 (each).", "service ragged: fee row."]
    assert [c.text for c in cut] == ["All prices.", *said, "Call us."]
    assert [text[c.start : c.end] for c in cut[1:3]] == ["| check | $1 | |", "| order | $2 | each |"]


@pytest.mark.parametrize(
    ("above", "below", "caption"),
    [
        ("Table 3. Fees of cards", "", "Table 3. Fees of cards"),
        ("**Fees of cards**", "", "Fees of cards"),
        ("These are our fees:", "", "These are our fees"),
        ("(in thousands of dollars)", "", "(in thousands of dollars)"),
        ("Alle Beträge in EUR", "", "Alle Beträge in EUR"),
        ("Tabelle 2: Gebühren", "", "Tabelle 2: Gebühren"),
        ("表1 手数料", "", "表1 手数料"),
        ("Таблица 1 — Тарифы", "", "Таблица 1 — Тарифы"),
        ("Fees of cards", "", "Fees of cards"),
        ("We have cards\nand other things", "", ""),
        ("We have cards, since " + "they are useful " * 6, "", ""),
        ("1. Cards", "", ""),
        ("", "Table: Fees of cards", "Table: Fees of cards"),
        ("Call us for more.", "Call us for even more:", ""),
        ("In case of loss, call us.", "", ""),
        ("- an item:", "", ""),
        ("word " * 60 + ":", "", ""),
    ],
)
def test_the_caption_goes_with_each_row(above, below, caption):
    text = f"# Fees\n\n## Cards\n\n{above}\n\n| card | fee |\n|---|---|\n| A1 | $1 |\n| B2 | $2 |\n\n{below}"
    cut = [c for c in chunks(text) if "card A1" in c.text or "card B2" in c.text]
    assert [c.text for c in cut] == [
        ": ".join(filter(None, (caption, row))) for row in ("card A1: fee $1.", "card B2: fee $2.")
    ]
    assert {c.heading for c in cut} == {"Cards"}


def test_a_caption_belongs_to_its_section_alone():
    text = "## Cards\n\nThese are our fees:\n\n## Table\n\n| card | fee |\n|---|---|\n| A1 | $1 |"
    assert chunks(text)[-1].text == "card A1: fee $1."


def test_a_row_too_long_for_a_chunk_says_its_names_in_each_part():
    text = f"| key | long column | b |\n|---|---|---|\n| K7 | {'word ' * 30} | x |\n| K8 | y | z |"
    cut = chunks(text, limit=24)
    assert max(words(c.text) for c in cut) <= 24
    parts, last = cut[:-1], cut[-1]
    assert sum(c.text.count("word") for c in parts) == 30
    assert all(c.text.startswith("key K7: ") for c in parts)
    assert all("long column" in c.text for c in parts if "word" in c.text)
    assert parts[-1].text.endswith("b x.")
    assert last.text == "key K8: long column y, b z."
    assert len({c.start for c in cut}) == len(cut)


@pytest.mark.parametrize(
    "text",
    [
        "| " + " | ".join(f"column number {n}" for n in range(60)) + " |\n|" + "---|" * 60 + "\n| "
        + " | ".join(f"v{n}" for n in range(60)) + " |",  # a header longer than a chunk
        "| key | value |\n|---|---|\n| " + "long key " * 50 + "| short |",
        "| " + "very long name " * 30 + "| b |\n|---|---|\n| K7 | x1 |",
        "a very long caption of this table " * 4 + ":\n\n| a | b |\n|---|---|\n| K7 | " + "x " * 40 + "|",
        "| a | b | c |\n|---|---|---|\n| " + "group of all these " * 20 + " | | |\n| K7 | 1 | 2 |",
        "| a | b |\n|---|---|\n| K7 | " + "x" * 3000 + " |",
    ],
)  # fmt: skip
def test_no_part_of_a_wide_or_long_row_is_lost_or_too_long(text):
    cut = chunks(text, limit=24)
    assert all(words(c.text) <= 24 and len(c.text) < 240 for c in cut)
    said = " ".join(c.text for c in cut)
    assert all(word in said for word in text.replace("|", " ").replace("---", " ").split() if len(word) < 50)
    assert said.count("x") >= text.count("x")
    assert len({c.start for c in cut}) == len(cut)


SCRIPTS = {
    "zh": "客户在分行办理业务时，需要出示身份证件并填写表格，手续费为十元。",
    "zh without marks": "客户在分行办理业务时需要出示身份证件并填写表格",
    "ja": "お客様が支店で手続きをされる際に、本人確認書類の提出が必要です。「はい。」と言います。",
    "th": "ค่าธรรมเนียมการโอนเงินภายในประเทศคือยี่สิบบาท",
    "km": "ថ្លៃសេវាផ្ទេរប្រាក់ក្នុងស្រុកគឺពីរដុល្លារ",
    "my": "ပြည်တွင်းငွေလွှဲခနှစ်ထောင်ကျပ်ဖြစ်သည်။",
    "ko": "국내 송금 수수료는 이천 원입니다. ",
    "hi": "घरेलू धन अंतरण का शुल्क बीस रुपये है। ",
    "ar": "رسوم التحويل المحلي عشرون ريالا. ",
    "emoji": "👨‍👩‍👧‍👦🇩🇪👍🏽",
    "marks": "e" + "\u0301" * 5,
    "base64": "QWxhZGRpbjpvcGVuIHNlc2FtZQ",
    "hex": "9f86d081884c7d65",
    "code": "if(a[i]>b[j]){c+=d[k++];}",
    "url": "https://example.com/a/b?c=1&d=%20",
    "spaces": "   \t",
    "dots": ".....",
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("newlines", [False, True])
def test_chunks_of_every_script_are_within_the_limit(script, newlines, embedder):
    text = SCRIPTS[script] * (5000 // len(SCRIPTS[script]))
    text = text[:3000] + ("\n" + text) * 2 if newlines else text
    cut = chunk_document(Document(source="a.md", text=text, title="A"), embedder.count_tokens, 160)
    assert "".join("".join(c.text for c in cut).split()) == "".join(text.split())
    assert all(embedder.count_tokens(c.text) <= 160 and len(c.text) <= 1200 for c in cut)
    borders = {m.start() for m in regex.finditer(r"\X", text)}
    assert all(c.start in borders for c in cut)
    assert len(cut) < 2 + len(text) / 45  # not needlessly small


@pytest.mark.parametrize("script", ["zh", "ja", "hi", "ko", "ar", "my"])
def test_chunks_end_with_a_sentence_in_every_script(script, embedder):
    text = SCRIPTS[script] * 120
    cut = chunk_document(Document(source="a.md", text=text, title="A"), embedder.count_tokens, 160)
    assert len(cut) > 3
    assert all(c.text[-1] in "。।.။" for c in cut)


def test_without_sentences_chunks_end_with_a_clause(embedder):
    text = "客户在分行办理业务时，需要出示身份证件，" * 60
    cut = chunk_document(Document(source="a.md", text=text, title="A"), embedder.count_tokens, 160)
    assert all(c.text[-1] == "，" for c in cut)


def test_a_grapheme_without_end_is_cut():
    assert max(len(c.text) for c in chunks("e" + "\u0301" * 5000, limit=20)) <= 160


def test_tokens_that_are_more_together_than_alone_are_counted_together():
    """As sentencepiece may: a token for each space between sentences here."""
    cut = chunk_document(
        Document(source="a.md", text="One two. " * 60, title="A"), lambda t: len(t.split()) + 2 * t.count(". "), 20
    )
    assert all(len(c.text.split()) + 2 * c.text.count(". ") <= 20 for c in cut)


def test_chunks_know_the_language_of_their_document():
    assert {c.language for c in chunks("Die Gebühr beträgt zwanzig Euro und ist sofort fällig.")} == {"de"}
    known = Document(source="a.md", text="Text.", title="A", meta={"language": "fr"})
    assert chunk_document(known, words, 50)[0].language == "fr"


CASES = Path("../shared/cases/documents")


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
@pytest.mark.parametrize("name", ["cjk_chunks_and_search/zh_long.md", "cjk_chunks_and_search/ja_long.txt"])
def test_long_texts_of_the_cases_are_cut_after_sentences(name, embedder):
    text = (CASES / name).read_text(encoding="utf-8")
    cut = chunk_document(Document(source=name, text=text, title="A"), embedder.count_tokens, 160)
    assert all(embedder.count_tokens(c.text) <= 160 and c.text.endswith("。") for c in cut)
    assert sum(embedder.count_tokens(c.text) > 60 for c in cut) > len(cut) - 2


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_every_row_of_the_table_case_has_its_columns(embedder):
    text = (CASES / "table_chunks_without_header" / "stock.md").read_text(encoding="utf-8")
    cut = chunk_document(Document(source="stock.md", text=text, title="Stock list"), embedder.count_tokens, 160)
    names = ("Article", "Warehouse", "Minimum stock", "Delivery time in days")
    assert len(cut) == 300
    assert all(all(name in c.text for name in names) for c in cut)
    assert "Article Bolt M123: Warehouse Bern, Minimum stock 24, Delivery time in days 12." in [c.text for c in cut]


def test_chunks_of_a_format_with_pages_know_where_they_are():
    lines = ["# Wires", "A wire costs $25.", "It takes a day.", "# Cash", "Cash is free.", "Always."]
    pages = [1, 1, 1, 1, 1, 2]
    starts = [sum(len(line) + 1 for line in lines[:n]) for n in range(len(lines))]
    places = tuple(
        Place(start, page, (0.1, 0.1 * n, 0.5 + 0.01 * n, 0.1 * n + 0.05))
        for n, (start, page) in enumerate(zip(starts, pages, strict=True))
    )
    document = Document(source="a.pdf", text="\n".join(lines), title="A", places=places)
    chunks = chunk_document(document, words, 40)
    assert [(c.text, c.page) for c in chunks] == [
        ("A wire costs $25.\nIt takes a day.", 1),
        ("Cash is free.\nAlways.", 1),
    ]
    assert [tuple(round(edge, 2) for edge in c.box) for c in chunks] == [(0.1, 0.1, 0.52, 0.25), (0.1, 0.4, 0.54, 0.45)]
    assert passage_of(chunks[0], 0.5).where == {"source": "a.pdf", "page": 1, "box": chunks[0].box}
    plain = document.model_copy(update={"places": ()})
    assert [(c.page, c.box) for c in chunk_document(plain, words, 40)] == [(0, None)] * 2
    assert passage_of(chunk_document(plain, words, 40)[0], 0.5).where == {"source": "a.pdf"}
    assert document_digest(plain) != document_digest(document)


def test_the_name_of_an_empty_column_is_kept():
    text = "| card | fee | extras |\n|---|---|---|\n| A1 | $1 | |"
    assert [c.text for c in chunks(text)] == ["| card | fee | extras |\n|---|---|---|", "card A1: fee $1."]
