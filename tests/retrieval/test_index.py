"""Building an index: what is embedded, when, and what a chunk is indexed with."""

from collections.abc import Sequence
from contextlib import contextmanager

import pytest

from inhouse.errors import InputError
from inhouse.retrieval.chunk import chunk_document
from inhouse.retrieval.index import build_index, embedded_text, searched_text
from inhouse.retrieval.search import Index
from inhouse.types import Document, Silent


def test_only_changes_are_embedded_again(document, documents, folder, embedder, settings, tmp_path):
    changed = document("summit.md", "Summit Card", ("What does it cost?", "The card costs $95 a year."))
    facts = build_index([*documents[:2], changed], embedder, settings, tmp_path, folder, Silent())
    assert (facts["added"], facts["removed"], facts["kept"]) == (1, 2, 4)
    updated = Index(tmp_path, embedder)
    assert updated.search("What does the Summit Card cost?", 1)[0].chunk.text == "The card costs $95 a year."
    assert not updated.search("What may a teller waive?", 9, ("staff",))[0].chunk.access


def test_an_update_leaves_the_previous_index_as_it_was(document, documents, folder, embedder, settings, tmp_path):
    changed = document("summit.md", "Summit Card", ("What does it cost?", "The card costs $95 a year."))
    build_index([*documents[:2], changed], embedder, settings, tmp_path, folder, Silent())
    assert Index(folder, embedder).search("Summit", 1)[0].chunk.text.endswith("$89 a year.")


def test_an_interrupted_build_resumes(documents, embedder, settings, tmp_path):
    calls = []

    class Counting:
        name, dimensions, sides = embedder.name, embedder.dimensions, embedder.sides
        count_tokens = embedder.count_tokens

        def embed(self, texts, query=False):
            calls.append(len(texts))
            return embedder.embed(texts)

    build_index(documents[:2], Counting(), settings, tmp_path, None, Silent())
    (tmp_path / "index.json").unlink()  # as if the process was killed before the end
    with pytest.raises(InputError):
        Index(tmp_path, embedder)
    build_index(documents, Counting(), settings, tmp_path, None, Silent())
    assert sum(calls) == 6


def test_documents_are_read_while_others_are_embedded(document, embedder, settings, tmp_path, monkeypatch):
    """At most two windows of chunks are in memory, and the progress bar moves as rows are written."""
    monkeypatch.setattr("inhouse.retrieval.index.BATCH", 2)
    opened, ahead, advanced = [], [], []

    class Opened(Sequence):
        def __len__(self):
            return 30

        def __getitem__(self, n):
            opened.append(n)
            return document(f"{n}.md", f"Card {n}", ("Fee?", f"It costs ${n}."))

        def __iter__(self):
            return (self[n] for n in range(30))

    class Counting(Silent):
        @contextmanager
        def step(self, label, total):
            assert total == 30
            yield self

        def advance(self, amount=1, note=""):
            advanced.append(amount)
            ahead.append(len(opened) - sum(advanced))

    facts = build_index(Opened(), embedder, settings, tmp_path, None, Counting())
    assert facts == {"documents": 30, "chunks": 30, "added": 30, "removed": 0, "kept": 0}
    assert sum(advanced) == 30
    assert max(ahead) <= 4
    assert Index(tmp_path, embedder).search("What does Card 17 cost?", 1)[0].chunk.source == "17.md"


def test_documents_without_text_are_refused(embedder, settings, tmp_path):
    with pytest.raises(InputError, match="contain no text to index"):
        build_index([Document(source="a.md", text="# A", title="A")], embedder, settings, tmp_path, None, Silent())


def test_chunks_without_headings_are_embedded_with_the_beginning_of_their_document(embedder):
    text = "All about the Larkspur loan. " + "It has many rules that nobody reads. " * 20 + "\n\nThe rate is 5%."
    plain = Document(source="loan.txt", text=text, title="loan")
    chunks = chunk_document(plain, embedder.count_tokens, 64)
    assert [c.lead[:28] for c in chunks] == [""] + ["All about the Larkspur loan."] * (len(chunks) - 1)
    assert "Larkspur" in embedded_text(chunks[-1])
    assert "Larkspur" not in searched_text(chunks[-1])


def test_chunks_with_headings_are_not(documents, embedder):
    assert not any(c.lead for c in chunk_document(documents[0], embedder.count_tokens, 64))


def test_long_titles_and_headings_leave_room_for_the_text(embedder):
    text = f"# {'标题' * 80}\n\n## {'很长的章节名称' * 20}\n\n### 运费\n\n" + "订单满一百元免运费。" * 40
    chunk = chunk_document(Document(source="a.md", text=text, title="标题" * 80), embedder.count_tokens, 160)[-1]
    embedded = embedded_text(chunk)
    assert embedder.count_tokens(embedded) <= 254
    assert embedded.endswith(f"运费\n{chunk.text}")
    short = chunk.model_copy(update={"title": "Fees", "heading": "Cards > Gold"})
    assert embedded_text(short) == f"Fees\nCards > Gold\n{chunk.text}"


def test_trust_is_kept_through_the_index_and_a_change_of_it_is_a_change(
    document, documents, folder, embedder, settings, tmp_path
):
    external = documents[2].model_copy(update={"trust": "external"})
    facts = build_index([*documents[:2], external], embedder, settings, tmp_path, folder, Silent())
    assert facts["added"] == 1
    (hit,) = Index(tmp_path, embedder).search("What does the Summit Card cost?", 1)
    assert hit.passage.trust == "external"
    assert hit.passage.where == {"source": "summit.md", "trust": "external"}
    assert Index(folder, embedder).search("Summit", 1)[0].passage.trust == "trusted"
