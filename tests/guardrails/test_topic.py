import pytest

from inhouse.guardrails.topic import Topic, learn

QUESTIONS = [
    f"{a} {b}"
    for a in ("How do I pay", "What is the fee for", "Can I cancel", "Where do I see", "Who may open")
    for b in ("a wire transfer?", "my savings account?", "the monthly statement?", "a credit card?", "an overdraft?")
]


@pytest.fixture(scope="module")
def topic(cached):
    return Topic(cached, learn(QUESTIONS, (), cached), forbidden=["Which shares should I buy?"])


@pytest.mark.parametrize(
    ("messages", "refused"),
    [
        (["What does a wire transfer cost?"], False),
        (["yes please"], False),
        (["How do I bake a sourdough bread with walnuts?"], True),
        (["Which stocks should I buy now?"], True),
        (["What is the fee for a credit card?", "It is $20.", "And for the savings account then?"], False),
    ],
)
def test_the_domain_is_learned_from_questions_alone(topic, turn, messages, refused):
    assert bool(topic.check("input", messages[-1], turn(*messages))) is refused
