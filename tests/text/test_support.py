import pytest

from inhouse.text.support import SUPPORTED, LexicalSupport

HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."


@pytest.fixture(scope="module")
def support(embedder):
    return LexicalSupport(HANDOFF, embedder)


EVIDENCE = ["An outgoing domestic wire costs $21.50; an incoming one costs $8. Wires ordered by 2:45 pm leave the same day.",
            "Pets are not allowed at the hotel."]  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "holds"),
    [
        ("An outgoing domestic wire costs $21.50.", True),
        ("A domestic wire that you send costs 21.50 dollars.", True),
        ("Wires ordered by 2:45 p.m. leave on the same day.", True),
        ("An outgoing domestic wire costs $25.", False),
        ("Wires ordered by 4:45 pm leave the same day.", False),
        ("Pets are not allowed.", True),
        ("Pets are allowed at the hotel.", False),
        ("The moon is made of green cheese.", False),
    ],
)
def test_support(support, statement, holds):
    assert (support.support(statement, EVIDENCE) >= SUPPORTED) is holds, support.support(statement, EVIDENCE)


def test_what_claims_nothing_is_no_statement(support):
    text = f"Hello! Thank you for asking. Would you like me to book it? {HANDOFF} I don't know. The fee is $3."
    assert support.statements(text) == ["The fee is $3."]
    assert support.statements('{"fee_usd": 21.5, "days": 3}') == ["fee usd: 21.5", "days: 3"]
    assert support.statements("") == []


def test_declines_are_known_in_other_words(support):
    assert support.declines(HANDOFF)
    assert support.declines("I'm not sure about that.")
    assert not support.declines("The fee is not charged to students.")


def test_without_an_embedder_words_alone_count():
    words_alone = LexicalSupport(HANDOFF)
    assert words_alone.support("Pets are not allowed.", EVIDENCE) == 1
    assert words_alone.support("The moon is made of cheese.", EVIDENCE) == 0
    assert words_alone.support("Pets are not allowed.", []) == 0


@pytest.mark.data
def test_true_replies_score_above_replies_about_something_else(support, data_dir):
    import json

    rows = [json.loads(line) for line in (data_dir / "concierge" / "dev.jsonl").read_text().splitlines()]
    rows = [r for r in rows if r["needs_knowledge"]][:60]
    evidence = [[s["text"] for s in r["sources"]] for r in rows]
    own, other = [], []
    for n, row in enumerate(rows):
        for statement in support.statements(row["messages"][-1]["content"])[:1]:
            own.append(support.support(statement, evidence[n]))
            other.append(support.support(statement, evidence[(n + 7) % len(rows)]))
    wins = sum((a > b) + 0.5 * (a == b) for a in own for b in other) / (len(own) * len(other))
    assert wins > 0.75, wins
