import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.pii import Pii
from inhouse.guardrails.rail import Guard
from inhouse.models.scripted import Scripted
from inhouse.privacy.tagger import read_tagger
from inhouse.types import Message


@pytest.fixture(scope="module")
def rail(finder):
    return Pii(finder, read_tagger(TAGGER))


@pytest.fixture
def model(guarded, rail):
    """A scripted model behind the rail."""
    return lambda answer: guarded(Scripted(answer), Guard(rail, {"input": "redact", "output": "redact"}))


def request(*texts):
    roles = ("user", "assistant")
    return ChatRequest(messages=tuple(Message(role=roles[n % 2], content=t) for n, t in enumerate(texts)))


async def test_the_model_reads_placeholders_and_the_user_her_own_values(model):
    seen = []

    def answer(request):
        seen.append(request.messages[-1].content)
        return "I wrote to <EMAIL_1>. Your card <CARD_NUMBER_1> is blocked."

    text = "My card 4111 1111 1111 1111 is lost, write to jo.b@mail.example"
    reply = await collect(model(answer), request(text))
    assert seen == ["My card <CARD_NUMBER_1> is lost, write to <EMAIL_1>"]
    assert reply.text == "I wrote to jo.b@mail.example. Your card 4111 1111 1111 1111 is blocked."
    assert "4111" not in str(reply.notes)


async def test_a_value_has_one_placeholder_through_the_conversation(model):
    seen = []
    conversation = request(
        "I am Katarina Miller, card 4111111111111111", "Thank you, Katarina Miller.", "So is 4111111111111111 blocked?"
    )
    await collect(model(lambda r: seen.extend(m.content for m in r.messages) or "Yes."), conversation)
    assert seen == ["I am <PERSON_1>, card <CARD_NUMBER_1>", "Thank you, <PERSON_1>.", "So is <CARD_NUMBER_1> blocked?"]


async def test_no_other_users_values_are_put_back(model):
    behind = model(lambda r: "Your card is <CARD_NUMBER_1>.")
    await collect(behind, request("card 4111111111111111"))
    reply = await collect(behind, request("what is my card?"))
    assert reply.text == "Your card is <CARD_NUMBER_1>."


async def test_an_answer_keeps_what_is_public_or_the_users_own_and_loses_the_rest(model):
    text = "Call 555-010-7788 or write to help@alderfalls.example. Anna has 555-019-2233 and anna@mail.example."
    reply = await collect(model(lambda r: text), request("how do I reach you?"))
    assert reply.text == "Call 555-010-7788 or write to help@alderfalls.example. Anna has <PHONE> and <EMAIL>."
    (decision,) = reply.note("guarded", "findings")
    assert (decision["side"], decision["action"]) == ("output", "redact")


async def test_ordinary_questions_pass_as_they_are(model):
    seen = []
    for text in (
        "What is the wire fee from 2026?",
        "Is Alder Falls open on 4 July at 9:30?",
        "I lost my card, what now?",
    ):
        await collect(model(lambda r: seen.append(r.messages[-1].content) or "Yes."), request(text))
        assert seen[-1] == text


@pytest.mark.parametrize(
    "text", ["my name is patricia desrosiers", "Krisztián Szöllösy called", "This is Halldór Sigurdsson"]
)
def test_names_of_other_languages_and_cases(rail, text):
    (spans,) = rail.spans([Message(role="user", content=text)])
    assert [s.kind for s in spans] == ["PERSON"]


@pytest.mark.parametrize(
    "card",
    [
        "４１１１ １１１１ １１１１ １１１１",
        "4111.1111.1111.1111",
        "4111–1111–1111–1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "41\u200b11 1111 11\u200b11 1111",
        "٤١١١ ١١١١ ١١١١ ١١١١",
        "4111 then 1111 then 1111 then 1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "four one one one, one one one one, one one one one, one one one one",
        "vier eins eins eins eins eins eins eins eins eins eins eins eins eins eins eins",
        "4111/1111/1111/1111",
        "④①①① ①①①① ①①①① ①①①①",
    ],
)
async def test_a_card_number_in_any_form_is_cut_where_it_stands(model, card):
    seen = []
    await collect(model(lambda r: seen.append(r.messages[-1].content) or "Yes."), request(f"my card {card} is lost"))
    assert seen == ["my card <CARD_NUMBER_1> is lost"]


async def test_lists_of_numbers_are_no_card(model):
    seen = []
    for text in (
        "We sold 4500, 1200, 3000 and 1100 units.",
        "one two three four five six seven eight nine ten",
        "1 2 3 4 5",
    ):
        await collect(model(lambda r: seen.append(r.messages[-1].content) or "Yes."), request(text))
        assert seen[-1] == text
