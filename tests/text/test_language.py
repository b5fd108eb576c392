import pytest

from inhouse.text.language import has_spaces, language, languages, spoken


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("You can open the account at our branch.", "en"),
        ("Sie können das Konto bei uns eröffnen, es ist nicht teuer.", "de"),
        ("Vous pouvez ouvrir un compte dans notre agence pour une heure.", "fr"),
        ("Usted puede abrir una cuenta en nuestro banco y es gratis.", "es"),
        ("お口座を開設できます", "ja"),
        ("Вы можете открыть счёт", "ru"),
        ("您可以开户", "zh"),
        ("Miller, 42", ""),
        ("", ""),
    ],
)
def test_language_is_known_where_it_is_clear(text, code):
    assert language(text) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Wie hoch ist die Überziehungsgebühr?", "de"),
        ("cuanto cobran por una transferencia", "es"),
        ("vous ouvrez à quelle heure", "fr"),
        ("vorrei bloccare la mia carta", "it"),
        ("Onde fica a agência mais próxima?", "pt"),
        ("hoe laat gaan jullie open", "nl"),
        ("ile trwa przelew", "pl"),
        ("En yakın şube nerede?", "tr"),
        ("заблокировать карту", "ru"),
        ("Jak mohu zablokovat kartu?", "cs"),
        ("KANN ICH ONLINE EIN KONTO ERÖFFNEN", "de"),
        ("can i wire money today, it's 4 pm", "en"),
    ],
)
def test_short_messages_of_customers(text, code):
    assert language(text) == code


@pytest.mark.parametrize(
    "text",
    ["Jürgen Müller", "Giovanni Bianchi", "Kindergarten", "café", "Zelle", "Wi-Fi?", "San Jose, Santa Fe", "bon voyage",
     "IBAN number", "briquette", "Visa Debit", "Rue de Rivoli 5", "find files that hold аргумент and others", "1099-INT"],
)  # fmt: skip
def test_names_loan_words_and_single_words_are_no_other_language(text):
    assert language(text) in ("", "en")


def test_a_language_with_a_tenth_of_the_texts_is_spoken():
    counts = languages(["You can open it here."] * 9 + ["Sie können es hier eröffnen."] + ["42"] * 30)
    assert counts == {"en": 9, "de": 1}
    assert spoken(counts) == {"en", "de"}
    assert spoken(counts | {"en": 19}) == {"en"}
    assert spoken({}) == frozenset()


def test_a_long_text_takes_no_longer(takes_linear_time):
    assert takes_linear_time(language, lambda n: "a ist " * n)


def test_languages_without_spaces_between_words():
    assert [has_spaces(code) for code in ("zh", "ja", "th", "ko", "en", "")] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("全製品二年間保証です。", "ja"),
        ("発送前であれば変更可能です。", "ja"),
        ("会員画面の設定から解約手続が可能です。", "ja"),
        ("領収書発行手続", "ja"),  # no kana, but characters of Japan
        ("サービス", "ja"),
        ("ﾊﾞｽで行く", "ja"),
        ("所有产品保修两年。", "zh"),
        ("所有產品保固兩年。", "zh"),
        ("国内電匯費用為二十八元。", "zh"),
        ("优の良品是我们自己的品牌,所有产品保修两年,支持七天无理由退货。", "zh"),
        ("请把 iPhone 15 Pro Max 寄给我们的客服中心", "zh"),
        ("운임은 얼마입니까?", "ko"),
        ("네", "ko"),
        ("ค่าส่งเท่าไหร่", "th"),
        ("ຄ່າສົ່ງເທົ່າໃດ", "lo"),
        ("តម្លៃដឹកជញ្ជូន", "km"),
        ("ပို့ဆောင်ခ ဘယ်လောက်လဲ", "my"),
        ("כמה עולה המשלוח?", "he"),
        ("كم تكلفة الشحن؟", "ar"),
        ("هزینه ارسال چقدر است؟", "fa"),
        ("ڈیلیوری کی فیس کتنی ہے؟", "ur"),
        ("Скільки коштує доставка?", "uk"),
        ("Сколько стоит доставка и когда вы открыты?", "ru"),
        (
            "Доставката струва пет лева и отнема два работни дни. Работим от понеделник до петък, от девет до шест.",
            "bg",
        ),
        ("Колико кошта достава љубичастог сата?", "sr"),
        ("Колькі каштуе дастаўка?", "be"),
        ("Πόσο κοστίζει η αποστολή;", "el"),
        ("शिपिंग कितना है?", "hi"),
        ("ডেলিভারি চার্জ কত?", "bn"),
        ("டெலிவரி கட்டணம் எவ்வளவு?", "ta"),
        ("რა ღირს მიწოდება?", "ka"),
        ("Որքա՞ն արժե առաքումը", "hy"),
        ("Phí vận chuyển là bao nhiêu?", "vi"),
        ("运费", ""),
        ("運費", ""),
        ("🙂🙂 123", ""),
    ],
)
def test_every_script_has_its_languages(text, code):
    assert language(text) == code
