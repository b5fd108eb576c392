"""Search over a real index with the real embedder."""

import json

import pytest

from inhouse.config.sections import Retrieval
from inhouse.errors import InputError
from inhouse.retrieval.index import build_index
from inhouse.retrieval.search import (
    LONG_QUERY_WORDS,
    MOST_PIECES,
    PIECE_WORDS,
    Fusion,
    Index,
    gold_passages,
    holds,
    pieces,
    read_fusion,
)
from inhouse.types import Document, Silent, Source

TELLER = "What may a teller waive?"


def places(hits):
    return [(h.chunk.source, h.chunk.start) for h in hits]


# --- order and scores -------------------------------------------------------------------------------------------


def test_the_chunk_that_answers_comes_first(index):
    best = index.search("how much is a wire transfer?", 3)[0].chunk
    assert (best.source, best.heading) == ("wires.md", "What does a wire cost?")


def test_an_empty_query_has_no_results(index):
    assert index.search("  ", 3) == []


def test_weight_0_is_full_text_alone(index):
    hits = index.search("What does the yearly card cost?", 9, weight=0.0)
    assert [h.score for h in hits] == [h.text for h in hits] == sorted((h.text for h in hits), reverse=True)
    assert hits[0].score == 1


def test_weight_1_is_dense_search_alone(index):
    hits = index.search("What does the yearly card cost?", 9, weight=1.0)
    assert [h.dense for h in hits] == sorted((h.dense for h in hits), reverse=True)
    assert (hits[0].score, hits[-1].score) == (1, 0)


def test_the_two_scores_are_mixed_by_weight(index):
    query = "What does the yearly card cost?"
    text = {p: h.score for h in index.search(query, 9, weight=0.0) for p in places([h])}
    dense = {p: h.score for h in index.search(query, 9, weight=1.0) for p in places([h])}
    for hit in index.search(query, 9, weight=0.3):
        (place,) = places([hit])
        assert hit.score == pytest.approx(0.3 * dense[place] + 0.7 * text[place], abs=1e-6)


def test_the_default_weight_is_that_of_the_fusion(folder, embedder):
    index = Index(folder, embedder)
    index.fusion = Fusion(1.0, 0.0)
    assert index.search(TELLER, 9) == index.search(TELLER, 9, weight=1.0) != index.search(TELLER, 9, weight=0.0)


def test_the_same_query_has_the_same_results(folder, index, embedder):
    again = Index(folder, embedder)
    for query in ("cost", "What does a card cost?", "groceries"):
        assert again.search(query, 9) == index.search(query, 9)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_equal_scores_are_ordered_by_document(document, embedder, tmp_path, weight):
    twins = [document(f"{name}.md", "Fees", ("Cash", "Cash is free.")) for name in "zamb"]
    build_index(twins, embedder, Retrieval(), tmp_path, None, Silent())
    hits = Index(tmp_path, embedder).search("Is cash free?", 3, weight=weight)
    assert [h.chunk.source for h in hits] == ["a.md", "b.md", "m.md"]


def test_every_visible_chunk_is_found_when_there_are_fewer_than_k(index):
    assert len(index.search("card", 50)) == 5
    assert len(index.search("card", 50, ["staff"])) == 6


@pytest.mark.parametrize(
    "query", ["'; DROP TABLE chunks; --", "wire AND (", '"wire', "wire* OR NOT", "😀", "عربي", "\\", "a:b^2~"]
)
def test_a_query_has_no_syntax(index, query):
    assert len(index.search(query, 3)) == 3


# --- who may read what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("groups", [(), ("sales",), ("staf",), ("%",), ("*",), ("' OR '1'='1",)])
def test_other_groups_never_find_a_closed_document(index, groups, weight):
    assert not any(h.chunk.access for h in index.search(TELLER, 10, groups, weight))


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("groups", [("staff",), ("sales", "staff")])
def test_its_group_finds_a_closed_document(index, groups, weight):
    assert index.search(TELLER, 1, groups, weight)[0].chunk.source == "staff/waivers.md"


# --- documents --------------------------------------------------------------------------------------------------


def test_sources_limit_a_search(index):
    hits = index.search("What does it cost?", 9, sources=["summit.md", "wires.md"])
    assert {h.chunk.source for h in hits} == {"summit.md", "wires.md"}


def test_sources_do_not_open_a_closed_document(index):
    assert index.search(TELLER, 9, sources=["staff/waivers.md"]) == []


@pytest.mark.parametrize("name", ["it's.md", "a' OR '1'='1", "''", 'say "no".md', "back\\slash.md", "100%_.md"])
def test_names_of_sources_are_quoted(document, embedder, tmp_path, name):
    two = [document(name, "Odd", ("Name", "An odd name.")), document("plain.md", "Plain", ("Name", "A plain name."))]
    build_index(two, embedder, Retrieval(), tmp_path, None, Silent())
    index = Index(tmp_path, embedder)
    assert [h.chunk.source for h in index.search("name", 9, sources=[name])] == [name]
    assert [c.source for c in index.chunks_of(name)] == [name]


def test_the_vocabulary_counts_the_chunks_that_have_a_word(index):
    vocabulary = index.vocabulary()
    assert (vocabulary["teller"], vocabulary["the"] > 1) == (1, True)
    assert all(word.isalpha() and word.islower() for word in vocabulary)


def test_the_outline_lists_documents_with_groups_and_number_of_chunks(index):
    outline = index.outline()
    assert outline["wires.md"] == ("Wire Transfers", frozenset(), 2)
    assert outline["staff/waivers.md"] == ("Waiver Limits", frozenset(["staff"]), 1)


def test_external_documents_are_told_and_none_can_say_it_of_another(document, embedder, tmp_path):
    claims = document("claims.md", "Claims", ("Trust", 'It says "trust":"external" of itself.'))
    web = document("web.md", "Web", ("Wires", "A wire costs $9.")).model_copy(update={"trust": "external"})
    build_index([claims, web], embedder, Retrieval(), tmp_path, None, Silent())
    assert Index(tmp_path, embedder).external() == {"web.md"}


def test_the_chunks_of_a_document_are_in_order(index):
    assert [c.heading for c in index.chunks_of("cards.md")] == ["What does it cost?", "Is there cash back?"]


# --- long queries -----------------------------------------------------------------------------------------------


def sentences(count, words=6):
    return " ".join(f"Sentence {n} {'has ' * (words - 3)}words." for n in range(count))


def test_a_query_of_up_to_sixty_words_is_one_piece():
    assert pieces(sentences(10)) == [sentences(10)]
    assert len(sentences(10).split()) == LONG_QUERY_WORDS


def test_a_longer_query_is_cut_between_sentences():
    cut = pieces(sentences(40))
    assert " ".join(cut) == sentences(40)
    assert all(len(p.split()) <= PIECE_WORDS and p.endswith(".") for p in cut)


def test_a_sentence_that_is_longer_than_a_piece_is_cut():
    assert [len(p.split()) for p in pieces(sentences(2, words=70))] == [50, 20, 50, 20]


def test_a_query_has_at_most_sixteen_pieces():
    assert len(pieces(sentences(400))) == MOST_PIECES


def test_a_long_query_without_sentences_loses_no_word():
    assert " ".join(pieces("word " * 500)) == ("word " * 500).strip()


def test_the_question_at_the_end_of_a_long_story_is_found(index):
    story = "I went to the river with my dog and we had a good time there. " * 8
    assert index.search(f"{story}What does the Summit Card cost?", 1, weight=1.0)[0].chunk.source == "summit.md"


@pytest.mark.parametrize("part", [". ", ".", "\n", " ", "a", "a. ", "?\t"])
def test_cutting_a_query_takes_linear_time(part, takes_linear_time):
    assert takes_linear_time(pieces, lambda n: part * n)


# --- passages that hold an answer -------------------------------------------------------------------------------

LONG = "When you close the account before the end of the term, the bank keeps the interest of the last three months."


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("It takes one day.", True),
        ("it TAKES,  one\nday", True),
        ("It takes two days.", False),
        ("", False),
        ("?!", False),
        (LONG, True),
    ],
)
def test_a_passage_holds_a_sentence_whatever_its_spelling(sentence, expected):
    assert holds(f"It takes one day. {LONG}", sentence) == expected


def test_a_long_sentence_is_held_by_its_first_half():
    assert holds(f"And so on. {LONG[:70]}", LONG)
    assert not holds(LONG[70:], LONG)


def test_a_short_sentence_must_be_held_whole():
    assert not holds("An outgoing wire costs", "An outgoing wire costs $21.50.")


def test_gold_passages_hold_the_sentence(index):
    gold = gold_passages(index, "cash back?", [Source(document="cards.md", text="you get 1.4% BACK on groceries")])
    assert [p.text for p in gold] == ["You get 1.4% back on groceries."]


def test_gold_passages_of_a_document_are_its_two_best(index):
    gold = gold_passages(index, "Is there cash back?", [Source(document="cards.md")])
    assert [p.heading for p in gold] == ["Is there cash back?", "What does it cost?"]


def test_gold_passages_are_listed_once_and_at_most_k(index):
    sources = [Source(document="cards.md"), Source(document="cards.md"), Source(document="wires.md")]
    assert len(gold_passages(index, "cost?", sources)) == 4
    assert len(gold_passages(index, "cost?", sources, 3)) == 3


def test_a_sentence_that_is_nowhere_has_no_gold_passage(index):
    assert gold_passages(index, "x", [Source(document="cards.md", text="Gold is heavy.")]) == []
    assert gold_passages(index, "x", [Source(document="no such.md", text="nothing")]) == []


def test_a_row_that_is_cut_has_the_chunk_with_most_of_its_cells(embedder, tmp_path):
    row = f"| K7 | {'many words ' * 90} | $31 | Bern |"
    text = f"| key | text | fee | city |\n|---|---|---|---|\n{row}\n| K8 | short | $31 | Oslo |"
    build_index([Document(source="a.md", text=text, title="A")], embedder, Retrieval(), tmp_path, None, Silent())
    (gold,) = gold_passages(Index(tmp_path, embedder), "x", [Source(document="a.md", text=row)])
    assert gold.text.startswith("key K7: ")
    assert gold.text.endswith("fee $31, city Bern.")


@pytest.mark.parametrize(
    ("question", "source"),
    [("运费多少", "ship.md"), ("门店几点营业", "hours.md"), ("第7号分行手续费", "long.md")],
)
def test_chinese_questions_find_their_passage(question, source, embedder, tmp_path):
    texts = {
        "hours.md": "# 营业时间\n\n门店周一至周五上午九点到下午六点营业，周末休息。",
        "ship.md": "# 配送说明\n\n国内订单满一百元免运费，不满一百元收取运费十元。",
        "long.md": "# 业务规定\n\n" + "".join(f"第{n}条：第{n}号分行办理业务，手续费为{n}0元。" for n in range(1, 60)),
    }
    documents = [Document(source=name, text=text, title=text[2:6]) for name, text in texts.items()]
    build_index(documents, embedder, Retrieval(), tmp_path, None, Silent())
    assert Index(tmp_path, embedder).search(question, 1)[0].chunk.source == source


# --- files ------------------------------------------------------------------------------------------------------


def test_the_fusion_of_the_corpus_is_used(folder, embedder, tmp_path):
    (tmp_path / "fusion.json").write_text(json.dumps({"weight": 0.7, "mention_boost": 0.3, "questions": 40}))
    assert Index(folder, embedder, tmp_path).fusion == Fusion(0.7, 0.3)


def test_without_one_the_default_fusion_is_used(index):
    assert index.fusion == Fusion(0.4, 1.0)


def test_a_missing_fusion_is_an_error(folder, embedder, tmp_path):
    with pytest.raises(InputError, match=r"fusion\.json: cannot be read"):
        Index(folder, embedder, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "{}", '{"weight": 0.5}', '{"weight": "x", "mention_boost": 1}', '{"weight": null}']
)
def test_a_damaged_fusion_is_an_error(tmp_path, text):
    (tmp_path / "fusion.json").write_text(text)
    with pytest.raises(InputError, match=r"fusion\.json: not a fusion"):
        read_fusion(tmp_path)


def test_an_index_of_another_embedder_is_refused(folder):
    class Other:
        name, dimensions, sides = "other", 384, False

    with pytest.raises(InputError, match="built with the embedder minilm-l6-v2, not other"):
        Index(folder, Other())


def test_a_folder_without_an_index_is_refused(embedder, tmp_path):
    with pytest.raises(InputError, match="no index found"):
        Index(tmp_path, embedder)


def test_damaged_settings_of_an_index_are_an_error(embedder, tmp_path):
    (tmp_path / "index.json").write_text('{"version":')
    with pytest.raises(InputError, match=r"index\.json: damaged"):
        Index(tmp_path, embedder)
