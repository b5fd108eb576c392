import pytest

from inhouse.text.sentences import every_sentence, first_sentence, sentences, unwrapped, windows


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It costs $2.50 a day. See Dr. Miller.", ["It costs $2.50 a day.", "See Dr. Miller."]),
        ("Ask J. Smith, e.g. by mail. Or Mrs. Jones!", ["Ask J. Smith, e.g. by mail.", "Or Mrs. Jones!"]),
        ('He said "no." Then he left.', ['He said "no.', "Then he left."]),
        ("# Fees\n\n- a wire: $25\n- a check: $1", ["Fees", "a wire: $25", "a check: $1"]),
        ("Held for 8\nbusiness days.\nAsk us.", ["Held for 8 business days.", "Ask us."]),
        ("", []),
        ("\n - \n", []),
    ],
)
def test_sentences_and_lines_are_told_apart(text, parts):
    assert sentences(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("费用多少？二十八元。请联系我们！谢谢", ["费用多少？", "二十八元。", "请联系我们！", "谢谢"]),
        ("真的吗？！是的……好吧。", ["真的吗？！", "是的……", "好吧。"]),
        ("“可以。”他说。“好。” “走吧。”", ["“可以。”他说。", "“好。”", "“走吧。”"]),
        ("「はい。」と言いました。次です。", ["「はい。」と言いました。", "次です。"]),
        ("３．５％です。はい．いいえ．", ["３．５％です。", "はい．", "いいえ．"]),
        ("값은 5천원입니다. 배송은 무료입니다.", ["값은 5천원입니다.", "배송은 무료입니다."]),
        ("كم السعر؟ السعر 5 ريال. شكرا", ["كم السعر؟", "السعر 5 ريال.", "شكرا"]),
        ("قیمت کیا ہے؟ پانچ روپے۔شکریہ", ["قیمت کیا ہے؟", "پانچ روپے۔", "شکریہ"]),
        ("यह मुफ़्त है।कल खुला है। ठीक", ["यह मुफ़्त है।", "कल खुला है।", "ठीक"]),
        ("Արժե հինգ։ Այո։", ["Արժե հինգ։", "Այո։"]),
        ("ဒါက အခမဲ့ပါ။ ဟုတ်ကဲ့။", ["ဒါက အခမဲ့ပါ။", "ဟုတ်ကဲ့။"]),
        ("ឥតគិតថ្លៃ។ បាទ។", ["ឥតគិតថ្លៃ។", "បាទ។"]),
        ("ค่าส่ง 20 บาท ฟรีเมื่อซื้อครบ ติดต่อเรา", ["ค่าส่ง 20 บาท", "ฟรีเมื่อซื้อครบ", "ติดต่อเรา"]),
        ("Πόσο κοστίζει; Πέντε ευρώ. Ναι", ["Πόσο κοστίζει;", "Πέντε ευρώ.", "Ναι"]),
        ("Gilt z. B. für Karten, d. h. alle. Siehe Nr. 5 bzw. Abs. 3. Ende.",
         ["Gilt z. B. für Karten, d. h. alle.", "Siehe Nr. 5 bzw. Abs. 3.", "Ende."]),
        ("I. d. R. z.B. inkl. MwSt. Ja.", ["I. d. R. z.B. inkl. MwSt.", "Ja."]),
        ("Vea p. ej. la tarifa. El Sr. López no va.", ["Vea p. ej. la tarifa.", "El Sr. López no va."]),
        ("Voir M. Dupont, p. ex. lundi. Oui.", ["Voir M. Dupont, p. ex. lundi.", "Oui."]),
        ("Это т. е. 5 тыс. рублей. Да.", ["Это т. е. 5 тыс. рублей.", "Да."]),
        ("Open until 5 p.m. We close then. It costs 5. Ask us.",
         ["Open until 5 p.m.", "We close then.", "It costs 5.", "Ask us."]),
    ],
)  # fmt: skip
def test_sentences_of_other_languages(text, parts):
    assert sentences(text) == parts


@pytest.mark.parametrize(
    ("text", "first"),
    [("二十八元。请", "二十八元。"), ("二十八元。", None), ("“可以。”", None), ("“可以。”他说。然", "“可以。”他说。"),
     ("好。” “", "好。” "), ("真的吗？！是", "真的吗？！"), ("Gilt z. B. für Karten. Ja", "Gilt z. B. für Karten. ")],
)  # fmt: skip
def test_the_first_sentence_of_other_languages(text, first):
    assert first_sentence(text) == first
    whole = text if first is None else first
    assert all(first_sentence(text[:n]) in (None, first) for n in range(len(whole)))


def test_only_lines_that_continue_are_joined():
    assert unwrapped("held for 8\nbusiness days:\n- one\nTwo\nthree.\nfour") == (
        "held for 8 business days:\n- one\nTwo three.\nfour"
    )


def test_every_sentence_is_cut_after_abbreviations_and_single_words_are_left_out():
    assert every_sentence("Ask Dr. Miller today. Now. It is quick.") == ["Ask Dr.", "Miller today.", "It is quick."]


def test_windows_hold_every_word_and_no_more_than_allowed():
    text = " ".join(f"w{n}" for n in range(100)) + ". End of it."
    assert " ".join(windows(text)).split() == text.split()
    assert max(len(w.split()) for w in windows(text)) == 40
    assert [len(w.split()) for w in windows(text, 50)] == [50, 50, 3]


def test_windows_are_cut_between_sentences():
    assert windows("One two. Three four five. Six.", 4) == ["One two.", "Three four five. Six."]
    assert windows("这是。 那是？ 好！ 是", 2) == ["这是。 那是？", "好！ 是"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("It is open. We", "It is open. "),
        ("It is open.", None),  # "It is open.5" may follow
        ("It is open. ", None),
        ('"It is open!" We', '"It is open!" '),
        ("Ask Dr. Miller. We", "Ask Dr. Miller. "),
        ("Ask Dr. Mil", None),
        ("Fees\n\n- one", "Fees\n\n"),
    ],
)
def test_the_first_sentence_is_complete_when_the_next_begins(text, first):
    assert first_sentence(text) == first


def test_long_runs_of_marks_take_no_time():
    for hostile in (
        "!" * 50_000,
        "\n" * 20_000,
        "A. " * 20_000,
        "'" * 50_000,
        "." + "'" * 50_000,
        "。" * 50_000,
        "。」" * 20_000 + " " * 9,
    ):
        assert first_sentence(hostile) is None
        assert len(sentences(hostile)) < 2
