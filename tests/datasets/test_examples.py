"""From conversations to examples, by the rules of `examples.cut` and of a whole data set."""

import json

import pytest

from inhouse.config.sections import Curation
from inhouse.datasets.conversations import read_conversations
from inhouse.datasets.curate import Curator, Sources, read_examples
from inhouse.datasets.examples import COURTEOUS, COURTESY, TOO_MANY, WEIGHT, cut, in_rounds, plainly_polite
from inhouse.errors import InputError
from inhouse.routing.acts import is_courtesy
from inhouse.text.courtesy import is_polite
from inhouse.types import Review, Silent, without_tools

TOPICS = (
    ("How do I reset my card PIN?", "You can reset the PIN at any cash machine under Services."),
    ("When is the branch in Graz open?", "The branch in Graz is open on weekdays from nine to four."),
    ("What is the limit for transfers?", "The daily limit for transfers is ten thousand dollars per account."),
    ("Can I open an account online?", "You can open an account online with a passport and a phone camera."),
)
CALL = {"id": "1", "type": "function", "function": {"name": "track", "arguments": '{"phone": "555-0100"}'}}


def talk(*texts, **more):
    messages = [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(texts)]
    return {"messages": messages, **more}


@pytest.fixture
def read(tmp_path):
    def rows(*given):
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(map(json.dumps, given)))
        return read_conversations([path], {})[0]

    return rows


def test_every_informative_reply_is_an_example(read):
    row = talk("Hello", "Hello, how can I help?", "Fee?", "It is $5.", "And abroad?", "It is $9.", "Thanks!",
               "You're welcome! Have a great day.", id="c")  # fmt: skip
    (conversation,) = read(row)
    made = cut(conversation, is_courtesy, 8)
    assert [(e.id, len(e.messages), e.question, e.target) for e in made.examples] == [
        ("c.3", 5, "And abroad?", "It is $9."), ("c.2", 3, "Fee?", "It is $5."),
    ]  # fmt: skip
    assert {e.group for e in made.examples} == {"c"}
    assert [(e.target[:5], reason) for e, reason in made.left_out] == [("Hello", COURTESY), ("You'r", COURTESY)]


def test_weight_0_is_context_only(read):
    row = talk("Fee?", "Wrong old answer here.", "again?", "It costs five dollars.")
    row["messages"][1]["weight"] = 0
    (conversation,) = read(row)
    made = cut(conversation, is_courtesy, 8)
    assert [(e.target, len(e.messages), e.context_only) for e in made.examples] == [("It costs five dollars.", 3, ())]
    assert [reason for _, reason in made.left_out] == [WEIGHT]
    last = talk("Fee?", "It costs five dollars.", "again?", "Wrong old answer here.")
    last["messages"][3]["weight"] = 0
    assert [e.target for e in cut(read(last)[0], is_courtesy, 8).examples] == ["It costs five dollars."]


def test_a_reply_that_only_is_polite_is_none_whatever_came_before(read):
    (conversation,) = read(talk("Fee?", "It is $5.", "Great, will do", "Glad I could help. Bye!"))
    made = cut(conversation, is_courtesy, 8)
    assert [e.target for e in made.examples] == ["It is $5."]
    assert [reason for _, reason in made.left_out] == [COURTEOUS]


def test_a_long_conversation_gives_its_last_and_its_longest_replies(read):
    texts = [t for n in range(12) for t in (f"Question {n}?", f"Answer {n} is {'very ' * n}long.")]
    (conversation,) = read(talk(*texts, "And?", "It is $5.", id="c"))
    made = cut(conversation, is_courtesy, 4)
    assert [e.id for e in made.examples] == ["c", "c.12", "c.11", "c.10"]
    assert [reason for _, reason in made.left_out] == [TOO_MANY] * 9
    assert len(cut(conversation, is_courtesy, 0).examples) == 13
    assert list(in_rounds([[1, 2, 3], [4], [], [5, 6]])) == [1, 4, 5, 2, 6, 3]


def test_of_a_chat_of_days_the_latest_messages_stay(read):
    (conversation,) = read(talk(*(t for n in range(60) for t in (f"Question {n}?", f"Answer {n} is long."))))
    examples = cut(conversation, is_courtesy, 0).examples
    assert [len(e.messages) for e in examples[:2]] == [39, 39]
    assert len(examples[-1].messages) == 1
    assert all(e.messages[0].role == "user" and e.question.split()[1][:-1] == e.target.split()[1] for e in examples)


def test_rows_without_an_id_are_groups_of_their_own(read):
    rows = [talk("Hi", "Hello!", f"What does plan {n} cost?", f"Plan {n} costs ${n}.") for n in range(5)]
    assert len({e.group for e in read(*rows)}) == 5
    assert len({e.group for e in read(rows[0], rows[0])}) == 1
    assert {e.group for e in read(rows[0] | {"id": 7}, rows[1] | {"conversation_id": 7})} == {"7"}


def test_system_messages_may_stand_anywhere(read):
    row = talk("Fee?", "It is $5.", "And abroad?", "It is $9.")
    row["messages"].insert(3, {"role": "system", "content": "Customer verified."})
    (conversation,) = read(row)
    assert [e.target for e in cut(conversation, is_courtesy, 8).examples] == ["It is $9.", "It is $5."]


# --- tools --------------------------------------------------------------------------------------------------------


def test_what_a_reply_rests_on_stays_before_it_in_the_prompt(read):
    row = {"messages": [{"role": "user", "content": "Where is my parcel?"},
                        {"role": "assistant", "content": None, "tool_calls": [CALL]},
                        {"role": "tool", "tool_call_id": "1", "content": "in Graz"},
                        {"role": "assistant", "content": "Your parcel is in Graz."},
                        {"role": "user", "content": "And when?"},
                        {"role": "assistant", "content": "One moment.", "tool_calls": [CALL]},
                        {"role": "tool", "tool_call_id": "1", "content": "tomorrow"},
                        {"role": "assistant", "content": "It comes tomorrow."}]}  # fmt: skip
    (conversation,) = read(row)
    last, first = cut(conversation, is_courtesy, 8).examples
    assert (first.question, first.target, first.messages[-1].role) == (
        "Where is my parcel?",
        "Your parcel is in Graz.",
        "tool",
    )
    assert [(m.role, m.content) for m in without_tools(first.messages)] == [
        ("user", "Where is my parcel?\nResult of track: in Graz")
    ]
    assert [(m.role, m.content) for m in without_tools(last.messages)] == [
        ("user", "Where is my parcel?\nResult of track: in Graz"), ("assistant", "Your parcel is in Graz."),
        ("user", "And when?"), ("assistant", "One moment."), ("user", "Result of track: tomorrow"),
    ]  # fmt: skip
    assert "555-0100" not in first.model_dump_json(), "arguments repeat what the user said"


def test_a_conversation_without_tools_is_shown_as_it_is(chat):
    messages = chat("a", "b", "c", "d").messages
    assert without_tools(messages) == messages


# --- data sets ----------------------------------------------------------------------------------------------------


def curated(tmp_path, embedder, rows, settings=None, name="out", **more):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    curator = Curator(settings or Curation(), "", 7, embedder, courtesy=is_courtesy)
    curator.curate(Sources(conversations=[path], **more), tmp_path / name, Silent())
    sets = {part: read_examples(tmp_path / name / f"{part}.jsonl") for part in ("train", "validation", "test")}
    return sets, json.loads((tmp_path / name / "card.json").read_text())


def test_two_replies_of_each_of_24_chats(tmp_path, embedder):
    rows = []
    for n in range(24):
        (q1, a1), (q2, a2) = TOPICS[n % 4], TOPICS[(n + 1) % 4]
        rows.append(talk(f"{q1} I ask for customer group {n}.", a1, q2, a2, "Thanks!",
                         ("You're welcome! Have a great day.", "Glad I could help. Bye!")[n % 2]))  # fmt: skip
    sets, card = curated(tmp_path, embedder, rows)
    everything = [e for examples in sets.values() for e in examples]
    assert {e.target for e in everything} == {a for _, a in TOPICS}
    assert card["read"]["replies_of_conversations"] == 48
    assert {(r["step"], r["reason"], r["count"]) for r in card["removed"] if r["step"] != "leak"} == {
        ("replies", COURTESY, 24)
    }
    groups = [{e.group for e in examples} for examples in sets.values()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]


def test_the_first_rounds_are_the_last_replies(tmp_path, embedder):
    rows = [talk(f"Is {c * 3} ok?", f"Yes, {c * 3} works well.", f"And {c * 4}?", f"No, {c * 4} does not work.", id=c)
            for c in "bcdfghjklm"]  # fmt: skip
    sets, _ = curated(tmp_path, embedder, rows, Curation(duplicate=1))
    ids = [e.id for e in sets["train"]]
    assert sorted(ids, key=len) == ids
    assert len(ids) == 2 * len([i for i in ids if "." not in i])


def test_a_row_with_sources_is_tested_by_its_last_reply_alone(tmp_path, embedder):
    rows = [talk(f"Is {c * 3} ok?", f"Yes, {c * 3} works well.", f"And {c * 4}?", f"No, {c * 4} does not work.", id=c,
                 sources=[{"document": f"{c}.md"}]) for c in "bcdfghjklm"]  # fmt: skip
    sets, card = curated(tmp_path, embedder, rows, Curation(duplicate=1))
    assert all(e.sources and "." not in e.id for part in ("validation", "test") for e in sets[part])
    assert sum("." in e.id for e in sets["train"]) == len(sets["train"]) / 2
    assert not any(e.sources for e in sets["train"] if "." in e.id)
    assert any(r["step"] == "split" for r in card["removed"])


@pytest.mark.parametrize(
    "pairs",
    [
        [("电汇费用是多少？", "国内电汇费用为二十八元。"), ("你们周末营业吗？", "是的，周六上午营业。"),
         ("退款需要多久？", "退款会在五个工作日内到账。"), ("保修期多长？", "所有产品保修两年。")],
        [("振込手数料はいくらですか？", "国内振込手数料は二百円です。"), ("住所変更はできますか？", "発送前であれば変更可能です。"),
         ("学生割引はありますか？", "学生証提示で一割引となります。"), ("解約方法は？", "会員画面の設定から解約手続が可能です。")],
        [("ค่าโอนเงินเท่าไหร่", "ค่าโอนเงินห้าบาทต่อครั้ง"), ("เปิดวันเสาร์ไหม", "เปิดทุกวันเสาร์ตอนเช้า"),
         ("คืนเงินกี่วัน", "คืนเงินภายในห้าวันทำการ"), ("รับประกันกี่ปี", "สินค้าทุกชิ้นรับประกันสองปี")],
        [("이체 수수료는 얼마인가요?", "수수료는 무료입니다."), ("주말에도 영업하나요?", "토요일 오전에 영업합니다."),
         ("환불은 얼마나 걸리나요?", "영업일 기준 닷새입니다."), ("보증 기간은요?", "모든 제품은 이년입니다.")],
        [("ငွေလွှဲခ ဘယ်လောက်လဲ", "ငွေလွှဲခသည် ငါးကျပ်ဖြစ်သည်။"), ("စနေနေ့ ဖွင့်လား", "စနေနေ့မနက်ပိုင်း ဖွင့်ပါသည်။"),
         ("ပြန်အမ်းငွေ ဘယ်တော့ရမလဲ", "ငါးရက်အတွင်း ပြန်အမ်းပါမည်။"), ("အာမခံ ဘယ်လောက်ကြာလဲ", "ကုန်ပစ္စည်းအားလုံး နှစ်နှစ်အာမခံပါသည်။")],
    ],
    ids=["zh", "ja", "th", "ko", "my"],
)  # fmt: skip
def test_replies_without_spaces_are_kept(tmp_path, embedder, pairs):
    sets, card = curated(tmp_path, embedder, [talk(q, a) for q, a in pairs])
    assert sum(map(len, sets.values())) == len(pairs), card["removed"]


def test_that_nothing_can_be_held_out_says_what_was_left_out(tmp_path, embedder):
    rows = [talk("Fee?", "ok"), talk("Free?", "Well maybe."), talk("Hi", "Hello!"), talk("Fee?", "It is $5."), {"x": 1}]
    with pytest.raises(InputError, match="no test set can be held out: 1 usable") as error:
        curated(tmp_path, embedder, rows)
    for part in ('1 replies: "too short"', '1 replies: "the reply has no content"', COURTESY, "1 lines that cannot be"):
        assert part in str(error.value)


# --- courtesy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["You're welcome! Have a great day.", "You are very welcome, Maria.", "Glad I could help. Bye!", "My pleasure!",
     "Hello! How can I help you today?", "Yes, how can I help you?", "Is there anything else I can do for you?",
     "You're most welcome, let us know if you have any other questions.", "Feel free to reach out if you need more help!",
     "Thank you for contacting Acme Support. Have a great day!", "One moment, please.", "Let me check that for you.", "Gern geschehen! Kann ich noch etwas für Sie tun?",
     "Es freut mich, dass ich helfen konnte. Schönen Tag noch!", "De rien, bonne journée !",
     "De nada! Posso ajudar em mais alguma coisa?", "Con gusto. ¡Que tenga un buen día!", "Prego, buona giornata!",
     "Graag gedaan, fijne dag!", "Nie ma za co, miłego dnia!", "Varsågod!", "Rica ederim, iyi günler.",
     "Пожалуйста, хорошего дня!", "Будь ласка!", "عفوا", "आपका स्वागत है", "不客气，祝您生活愉快！",
     "どういたしまして。", "천만에요!", "Không có gì ạ", "ยินดีค่ะ", "Sama-sama"],
)  # fmt: skip
def test_polite_replies(text):
    assert is_polite(text, is_courtesy)
    assert plainly_polite(text) == is_polite(text)


@pytest.mark.parametrize(
    "text",
    ["Yes.", "No.", "It is free, thanks.", "Thank you for contacting us. We will reply by 5 pm.", "Sure, it costs 5.",
     "Hello, the fee is $5.", "Let us know if you have received it.", "If you have any damage, send us a photo.", "Yes, pets are welcome.", "No problem, Tuesday works.", "Bitte rufen Sie uns an.",
     "Could I get your full name, please?", "好的，退款三天到账。", "はい、営業しております。", "Prego, 5 euro."],
)  # fmt: skip
def test_informative_replies(text):
    assert not is_polite(text, is_courtesy)


def test_a_long_reply_takes_linear_time(takes_linear_time):
    for part in ("you are welcome ", "a b, ", "ก", "ा", "!"):
        assert takes_linear_time(lambda text: is_polite(text[:400] + text), lambda n, part=part: part * n)


def test_what_a_reviewer_writes_is_anonymized_too(tmp_path, embedder, anonymizer):
    rows = [talk(f"Is {c * 3} ok?", f"Yes, {c * 3} works well.", f"And {c * 4}?", f"No, {c * 4} does not work.", id=c)
            for c in "bcdfghjklm"]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    written = "No, my name is Sarah Brown, write to sarah.brown@mail.example."
    reviews = {key: Review(id=key, status="approved", target=written, by="x", at="") for key in ("b", "c.1")}
    curator = Curator(Curation(duplicate=1), "", 7, embedder, anonymizer, courtesy=is_courtesy)
    curator.curate(Sources(conversations=[path], reviews=reviews), tmp_path / "out", Silent())
    everything = [
        e for part in ("train", "validation", "test") for e in read_examples(tmp_path / "out" / f"{part}.jsonl")
    ]
    edited = [e.target for e in everything if e.id in reviews]
    assert len(edited) == 2
    assert not any("sarah" in target.lower() for target in edited)
