"""Only what is laid out differently is a duplicate: every other word, number or sign makes a version, which is kept."""

import random

import pytest

from inhouse.documents.dedupe import duplicates, ngrams, versions, words_of
from inhouse.documents.wording import wording
from inhouse.types import Document

POLICY = "the customer may close the account at any branch by post or in the app after all open items are settled and "
STEPS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"]
LONG = " ".join(f"{POLICY} step {word}" for word in STEPS)


def document(text, source="a.md", access=(), **meta):
    return Document(source=source, text=text, title="", access=frozenset(access), meta=meta)


def documents(*texts, access=()):
    groups = access or [()] * len(texts)
    return [document(text, f"{i}.md", group) for i, (text, group) in enumerate(zip(texts, groups, strict=True))]


def repeated(read):
    return duplicates(read, [words_of(d) for d in read])


# --- what makes a version ------------------------------------------------------------------------------------------

VERSIONS = [
    # numbers, signs, units
    ("costs $25 a month", "costs $30 a month"), ("costs 1.5 a day", "costs 15 a day"), ("costs 1.5 a day", "costs 1,5 a day"),
    ("1,000 points", "1.000 points"), ("a rate of .5", "a rate of 5"), ("at -5 degrees", "at 5 degrees"),
    ("balance 1.250,00-", "balance 1.250,00"), ("a loss of (5)", "a loss of 5"), ("from 10:30", "from 1030"),
    ("within three days", "within five days"), ("costs $5", "costs €5"), ("costs 5 USD", "costs 5 EUR"), ("5 % off", "5 off"),
    ("rated 5 mW", "rated 5 MW"), ("10³ units", "103 units"), ("½ a day", "1 a day"), ("fee > 5", "fee < 5"), ("+5 points", "-5 points"),
    ("room 12a", "room 12b"), ("id 00123", "id 123"), ("a 5′ rope", "a 5″ rope"), ("x² + y", "x + y"), ("2024-01-02", "2024-02-01"),
    ("is 3 % in May and 4 % in June", "is 4 % in May and 3 % in June"), ("25* a night", "25 a night"), ("valid ≤ 5", "valid ≥ 5"),
    ("5 to 10", "5 or 10"), ("5-10 nights", "5 10 nights"), ("18+ only", "18 only"), ("Fee: 5 €/day", "Fee: 5 € day"),
    # words of English
    ("deposits are refundable", "deposits are nonrefundable"), ("pay before it ends", "pay after it ends"), ("a monthly fee", "a yearly fee"),
    ("the guest may cancel", "the guest must cancel"), ("it is refunded later", "it is not refunded later"), ("can cancel", "can't cancel"),
    ("paid by Blue Card holders", "paid by Green Card holders"), ("sent to Anna Lee", "sent to Anne Lee"), ("for US guests", "for us guests"),
    ("opens on Monday", "opens on Sunday"), ("with tax", "without tax"), ("including breakfast", "excluding breakfast"), ("up to 5", "from 5"),
    ("children are welcome", "children are welcome. Pets are welcome."), ("some rooms", "all rooms"), ("he will resign", "he will re-sign"),
    ("No, refunds are made", "No refunds are made"), ("no: pets may come", "no pets may come"), ("Pets are allowed.", "Pets are allowed?"),
    ("its price", "it's price"), ("~~$25~~ now free", "$25 now free"), ("step one, then two", "step two, then one"),
    # tables: a row more, a value in another column, a mark for another one
    ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"),
    ("| pool | x | |", "| pool | | x |"), ("| pool | ✓ |", "| pool | ✗ |"), ("| pool | - | x |", "| pool | x | - |"),
    ("[apply](https://a.example/one)", "[apply](https://a.example/two)"),
    # other languages and scripts
    ("Die Gebühr wird erstattet.", "Die Gebühr wird nicht erstattet."), ("eine Gebühr", "keine Gebühr"), ("monatlich kündbar", "jährlich kündbar"),
    ("erstattungsfähig", "nicht erstattungsfähig"), ("Zahlung vor Ankunft", "Zahlung nach Ankunft"), ("Er zahlt", "Er zahle"),
    ("remboursable avant le départ", "remboursable après le départ"), ("non remboursable", "remboursable"), ("payé chaque mois", "payé chaque année"),
    ("yo pago", "yo pagó"), ("sin cargo", "con cargo"), ("si può cancellare", "non si può cancellare"), ("pode cancelar", "deve cancelar"),
    ("zwrot możliwy", "zwrot niemożliwy"), ("met ontbijt", "zonder ontbijt"), ("можно вернуть", "нельзя вернуть"), ("до заезда", "после заезда"),
    ("казнить нельзя, помиловать", "казнить, нельзя помиловать"), ("押金可退", "押金不可退"), ("每月付费", "每年付费"), ("三天内", "五天内"),
    ("不，可以退款", "不可以退款"), ("入住前付款", "入住后付款"), ("返金できます", "返金できません"), ("3日前まで", "5日前まで"), ("환불됩니다", "환불되지 않습니다"),
    ("คืนเงินได้", "คืนเงินไม่ได้"), ("ก่อนเข้าพัก", "หลังเข้าพัก"), ("ที่นี่", "ที่นั่น"), ("قابل للاسترداد", "غير قابل للاسترداد"), ("لا، يمكن", "لا يمكن"),
    ("अग्रिम भुगतान", "अग्रिम भुगतन"), ("ניתן לבטל", "לא ניתן לבטל"), ("geri ödenir", "geri ödenmez"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), VERSIONS)
def test_versions_are_both_kept(one, other):
    for before in (LONG, ""):
        assert repeated(documents(f"# Terms\n\n{before} {one}", f"# Terms\n\n{before} {other}")) == {}
        assert repeated(documents(f"{one}\n{before}", f"{other}\n{before}")) == {}


LAYOUTS = [
    ("The fee is due.", "THE  FEE\nis due"), ("# The fee\n\nis due", "The fee\n---\nis **due**"), ("- one\n- two", "* one\n• two"),
    ("the “fee” isn’t 5", "the \"fee\" isn't 5"), ("fees – monthly", "fees - monthly"), ("2020–2025", "2020-2025"), ("the cus-\ntomer", "the customer"),
    ("> a word\n> more", "a word more"), ("| a | b |\n|---|---|\n| 1 | 2 |", "|a|b|\n|:--|--:|\n|1|2|"), ("a word\nPage 3 of 10\nmore", "a word\nmore"),
    ("a word\n\n- 4 -\n\nSeite 2 von 7\nmore", "a word\n\n- 4 -\n\nmore"), ("价格：１２元，可退", "价格 : 12元 可退"), ("本店\n可退", "本店可退"), ("第 3 页\n退款", "退款"),
    ("ค่าห้อง 5 บาท", "ค่าห้อง\n5 บาท"), ("der Zah-\nlung", "der Zahlung"), ("«oui», dit-il", "\"oui\" dit-il"), ("STRASSE", "straße"), ("ﬁne oﬃce", "fine office"),
    ("ΤΙΜΉ ΤΗΣ", "τιμή της"), ("`code` here", "code here"), ("a<br>b", "a b"), ("*one* and __two__", "one and two"), ("end of\u00ad it", "end of it"),
    ("می‌خواهم", "میخواهم"), ("العـــربية", "العربية"), ("5 km, then", "5 km then"), ("－５度", "-5度"), ("Ａ案", "A案"), ("ｶﾞｽ", "ガス"),
    ("Fee (monthly): 5", "Fee monthly 5"), ("***\nOne\n***", "One"), ("```\nx = 1\n```", "x = 1"), ("he said 'go'", "he said go"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), LAYOUTS)
def test_another_layout_is_a_duplicate(one, other):
    assert len(repeated(documents(f"{LONG}\n\n{one}", f"{LONG}\n\n{other}"))) == 1
    assert len(repeated(documents(one, other))) == 1


def test_a_whole_document_in_capitals_rewrapped_or_in_markdown_is_a_duplicate():
    text = f"# Terms\n\n{LONG}. It isn't -5 or 1.5 or 30% (at all)."
    others = text.upper(), text.replace("the ", "the\n"), text.replace("# ", "").replace("after", "**after**")
    assert len(repeated(documents(text, *others))) == 3


@pytest.mark.parametrize("text", ["¿", "!!!", "—"])
def test_a_text_without_words_equals_only_itself(text):
    assert list(repeated(documents(text, "…!", text))) == [2]


# --- which one stays -----------------------------------------------------------------------------------------------

OLD, NEW = "2024-03-01T10:00:00+00:00", "2024-03-02T10:00:00+00:00"


@pytest.mark.parametrize(
    ("stays", "goes", "why"),
    [
        (document("# A fee", "b.md"), document("a fee", "a.md"), "same words as b.md, which is longer"),
        (document("a fee", "a.md"), document("a fee", "sub/a.md"), "same text as a.md"),
        (document("a fee", "terms.md"), document("a fee", "terms (1).md"), "same text as terms.md"),
        (document("a fee", "terms_2025.md"), document("# a fee", "terms_2024.md"), "newer"),
        (document("a fee", "2025/b.md"), document("a fee", "2024/a.md"), "newer"),
        (document("a fee", "b 31.12.2024.pdf"), document("a fee", "a 2024-11-30.pdf"), "newer"),
        (document("a fee", "terms_v10.md"), document("a fee", "terms_v9.md"), "newer"),
        (document("a fee", "b.md", modified=NEW), document("# a fee", "a.md", modified=OLD), "newer by its file time"),
        (document("a fee", "b.md", properties={"date": "2025-02-01"}, modified=OLD),
         document("a fee", "a.md", properties={"updated": "2024-12-31"}, modified=NEW), "newer"),
        (document("a fee", "b.md", properties={"version": "2.1"}), document("a fee", "a.md", properties={"version": "2.0"}), "newer"),
        (document("a fee", "b.eml", properties={"date": "Mon, 3 Mar 2025 10:00:00 +0000"}),
         document("a fee", "a.eml", properties={"date": "Mon, 3 Feb 2025 10:00:00 +0000"}), "newer"),
    ],
)  # fmt: skip
def test_the_newer_or_longer_one_stays(stays, goes, why):
    for pair in ([stays, goes], [goes, stays]):
        (gone,) = repeated(pair).items()
        assert pair[gone[0]] == goes
        assert pair[gone[1].of] == stays
        assert gone[1].why.startswith("same ")
        assert gone[1].why.endswith(why)


def test_of_many_one_stays_and_all_others_name_it():
    texts = ["a fee", "# A fee", "A *fee*!", "a fee", "### A *fee*"]
    assert {i: repeat.of for i, repeat in repeated(documents(*texts)).items()} == {0: 4, 1: 4, 2: 4, 3: 4}


def test_other_front_matter_makes_another_document():
    gold, silver = (document("# Fees\n\n5", f"{n}.md", properties={"plan": n, "date": n}) for n in ("Gold", "Silver"))
    assert repeated([gold, silver]) == {}
    titled = [document("5 a day", f"{n}.md", properties={"title": n}).model_copy(update={"title": n}) for n in "ab"]
    assert repeated(titled) == {}
    lines = [
        document(
            f"# Fees\n\nUpdated at: {n}. Plan: Gold.\n\n5", f"{n}.md", properties={"updated-at": n, "plan": "Gold"}
        )
        for n in "ab"
    ]
    assert len(repeated(lines)) == 1
    dated = [document("# Fees\n\n5", f"{n}.md", properties={"date": n, "author": n, "title": n}) for n in "ab"]
    assert len(repeated(dated)) == 1


def test_documents_for_different_groups_are_never_merged():
    assert repeated(documents(LONG, LONG, LONG, access=[(), ("staff",), ("staff", "hr")])) == {}
    assert list(repeated(documents(LONG, LONG, LONG, access=[(), ("staff",), ("staff",)]))) == [2]


# --- versions ------------------------------------------------------------------------------------------------------


def near(read, threshold=0.8):
    return versions(read, [wording(d.text) for d in read], threshold)


def test_versions_are_named_with_what_differs():
    found = near(documents("other", LONG, LONG.replace("step bravo", "stage bravo"), f"{LONG} Pets are welcome."))
    assert {i: version.of for i, version in found.items()} == {2: 1, 3: 1}
    assert found[2].differs == 'here "stage", there "step"'
    assert found[3].differs == 'here "pets are welcome"'
    assert 0.8 <= found[2].similarity < 1
    assert near(documents(LONG, f"{LONG} Pets are welcome.", access=[(), ("staff",)])) == {}
    assert near(documents(LONG, f"{LONG} Pets are welcome."), 1) == {}
    chinese = "本店的客人可以在入住前三天免费取消预订，之后每取消一晚需要支付一晚的房费，押金将在七个工作日内退回原来的付款账户。"
    assert near(documents(chinese, chinese.replace("三", "五")))[1].differs == 'here "五", there "三"'


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_finds_what_comparing_all_pairs_finds(threshold):
    draw = random.Random(3)
    words = [a + b for a in "bcdfghklmr" for b in "aeiouyxzst"]
    texts = []
    for _ in range(30):
        base = [draw.choice(words) for _ in range(draw.randint(3, 300))]
        for changes in (0, 1, 3, 6):
            changed = list(base)
            for _ in range(changes):
                changed[draw.randrange(len(base))] = draw.choice(words)
            texts.append(" ".join(changed))
    texts = list(dict.fromkeys(texts))
    sets = [set(ngrams(text).tolist()) for text in texts]
    expected: dict[int, int] = {}
    for i in range(len(texts)):
        for j in range(i):
            if j not in expected and len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= threshold:
                expected[i] = j
                break
    assert len(expected) > 10
    assert {i: version.of for i, version in near(documents(*texts), threshold).items()} == expected


def test_documents_of_a_template_take_linear_time(takes_linear_time):
    draw = random.Random(1)
    words = LONG.split()

    def of_a_template(count):
        return documents(*(" ".join([*words[:99], str(n), *words[100:], str(draw.random())]) for n in range(count)))

    def compare(read):
        assert repeated(read) == {}
        assert len(near(read)) == len(read) - 1

    assert takes_linear_time(compare, of_a_template, size=200)


@pytest.mark.parametrize(
    "part", [" ", "\n", "-", "- ", "|", "| ", "*", "* a", "**a", '"', '"a', "> ", ">", "#", "5.", "5-", "(5", "no ", "no,", "页5", "page 5 ", "'", "5 k", "(", "a-\n"]
)  # fmt: skip
def test_wording_takes_linear_time(part, takes_linear_time):
    assert takes_linear_time(wording, lambda n: part * n)
