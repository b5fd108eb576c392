"""Dialog acts are recognized in 18 languages, and nothing that asks something is taken for one."""

import pytest

from inhouse.config.sections import Replies
from inhouse.routing.acts import ACTS, LANGUAGES, Recognized, phrases, recognize
from inhouse.routing.replies import OTHER_LANGUAGE


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("Hey there!", "greeting"),
        ("helloooo", "greeting"),
        ("thx so much for your help", "thanks"),
        ("No, that's all. Thanks!", "goodbye"),
        ("ok cheers, bye bye", "goodbye"),
        ("Are you a bot or a real person?", "identity"),
        ("hi, how are you doing today?", "small_talk"),
        ("Thanks for nothing, this is the worst service ever", "complaint"),
        ("I'd like to talk to someone real", "person"),
        ("human please", "person"),
        ("This is urgent. Can you put me through to an agent?", "person"),
        ("I have asked this three times now let me speak to a manager", "person"),
        ("Can I talk to somebody about my mortgage application?", "person"),
        ("¿Me puede pasar con un agente?", "person"),
        ("Ich möchte mit einem Mitarbeiter sprechen", "person"),
        ("我要转人工", "person"),
        ("人と話したいです", "person"),
        ("상담원 연결해 주세요", "person"),
        ("Müşteri temsilcisine bağlanmak istiyorum", "person"),
        ("मुझे किसी इंसान से बात करनी है", "person"),
        ("أريد التحدث مع موظف", "person"),
        ("tôi muốn gặp nhân viên", "person"),
    ],
)
def test_acts_are_recognized(text, act):
    assert recognize(text).act == act


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?!",
        "ok",
        "yes please",
        "hi, what does a wire cost?",
        "thanks, and the international one?",
        "bye-laws",
        "Thanks, and then?",
        "Is the app terrible?",
        "Do I need an agent to open an account?",
        "Can a human resources department use payroll?",
        "I do not want to talk to a human",
        "When can I speak to an advisor?",
        "Must I talk to a person before I sign?",
        "I am an agent",
        "Which manager approved it?",
        "Hola, ¿cuánto cuesta?",
        "谢谢，那手续费呢？",
        "ありがとう、学割はありますか？",
        "안녕하세요, 수수료가 얼마예요?",
    ],
)
def test_what_asks_or_says_something_else_is_no_act(text):
    assert recognize(text) is None


def test_the_language_is_that_of_the_phrases_and_the_likely_one_where_they_are_the_same():
    assert recognize("Bonjour !") == Recognized("greeting", "fr")
    assert {recognize("hallo", likely).language for likely in ("de", "nl")} == {"de", "nl"}


def test_only_a_wish_for_a_person_may_stand_in_a_long_message():
    assert recognize(f"{'thank you so much ' * 10}") is None
    assert recognize(f"My card was taken in {'a long ' * 30}story. I want to speak to a person.").act == "person"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_act_and_its_reply(language):
    if language != "en":  # the default texts of [replies]
        assert phrases(language).replies.keys() == {*ACTS, OTHER_LANGUAGE}
        assert "{name}" in phrases(language).replies["identity"]
    assert set(Replies.model_fields) == {*ACTS, OTHER_LANGUAGE, "languages"}


@pytest.mark.parametrize("unit", ["i want to talk ", "thank you, ", "a", "转人工吗", "¿"])
def test_time_grows_with_the_length_of_the_message(unit, takes_linear_time):
    assert takes_linear_time(recognize, lambda n: unit * n, size=400)


def test_later_is_a_goodbye_only_with_other_words():
    assert recognize("no, the later one") is None
    assert recognize("later") is None
    assert recognize("see you later").act == "goodbye"
