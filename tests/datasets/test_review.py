"""Reviews: an overlay over the examples, kept in a file of its own."""

import json

import pytest

from inhouse.config.sections import Curation
from inhouse.datasets.curate import Curator, Sources, read_examples
from inhouse.datasets.review import FILE, Reviews
from inhouse.errors import InputError
from inhouse.types import Example, Message, Review, Silent


def review(id, status="approved", **more):
    return Review(id=id, status=status, by="Ines", at="2026-11-25T10:00:00+00:00", **more)


def test_the_last_word_counts_and_all_are_kept(tmp_path):
    reviews = Reviews(tmp_path / "deep" / FILE)
    empty = reviews.digest
    assert reviews.all() == {}
    reviews.add(review("a", target="line one\nline two"))
    reviews.add(review("b", "rejected"))
    reviews.add(review("a", "rejected"))
    assert Reviews(tmp_path / "deep" / FILE).all() == {"a": review("a", "rejected"), "b": review("b", "rejected")}
    assert len((tmp_path / "deep" / FILE).read_text().splitlines()) == 3
    assert reviews.digest != empty


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / FILE).write_text(review("a").model_dump_json() + "\n{}\n")
    with pytest.raises(InputError, match=r"reviews\.jsonl:2"):
        Reviews(tmp_path / FILE).all()


def test_curate_takes_edits_rejections_approvals_and_feedback(tmp_path, embedder):
    questions = [
        "What does a wire cost?",
        "Where is the branch in Millbrook?",
        "How do I lock my card?",
        "May I deposit by photo?",
        "When do you open on Monday?",
    ]
    rows = [
        {
            "id": f"r{n}",
            "messages": [
                {"role": "user", "content": q},
                {"role": "assistant", "content": f"A fine answer of many words, number {n}."},
            ],
        }
        for n, q in enumerate(questions)
    ]
    rows.append(
        {
            "id": "short",
            "messages": [
                {"role": "user", "content": "Is parking free at the branch?"},
                {"role": "assistant", "content": "Yes."},
            ],
        }
    )
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(map(json.dumps, rows)))
    feedback = Example(
        id="h1",
        messages=(Message(role="user", content="Do you exchange foreign coins?"),),
        target="We take banknotes alone, no coins.",
        origin="feedback",
        group="h1",
    )
    reviews = {
        "r0": review("r0", target="A wire costs $25, whatever the amount."),
        "r1": review("r1", "rejected"),
        "short": review("short"),
        "h1": review("h1", question="Do you change foreign coins?"),
    }
    settings = Curation(synthesize=False, anonymize=False, validation_share=0.1, test_share=0.1)

    def made(out, **more):
        sources = Sources(conversations=[log], **more)
        Curator(settings, "No idea.", 7, embedder).curate(sources, tmp_path / out, Silent())
        return {
            e.id: e for part in ("train", "validation", "test") for e in read_examples(tmp_path / out / f"{part}.jsonl")
        }

    plain, edited = made("plain"), made("reviewed", feedback=[feedback], reviews=reviews)
    assert {"r0", "r1"} <= plain.keys()
    assert "short" not in plain
    assert "r1" not in edited
    assert edited["r0"].target == "A wire costs $25, whatever the amount."
    assert edited["short"].target == "Yes.", "a person approved it"
    assert (edited["h1"].question, edited["h1"].origin) == ("Do you change foreign coins?", "feedback")
    removed = [json.loads(line) for line in (tmp_path / "reviewed" / "removed.jsonl").read_text().splitlines()]
    assert [(r["step"], r["metadata"]["id"]) for r in removed if r["step"] == "review"] == [("review", "r1")]
