"""Full-text search in every language: the terms of texts, and that passages are found by them."""

import pytest

from inhouse.config.sections import Retrieval
from inhouse.retrieval.index import build_index
from inhouse.retrieval.search import Index, pieces
from inhouse.retrieval.terms import terms
from inhouse.text.words import length_in_words
from inhouse.types import Document, Silent


@pytest.mark.parametrize(
    ("text", "languages", "found"),
    [
        ("the DiffExecutor of v2_parser", (), "the DiffExecutor of v2 parser Diff Executor v 2"),
        ("nothing here, 1,000.50", (), "nothing here 1 000 50"),
        ("运费多少？", (), "运费 费多 多少"),
        ("iPhone手机，费", (), "iPhone 手机 费 i Phone"),
        ("ﾊﾞｽ Ｇ５", (), "バス G5"),
        ("배송비는 얼마", (), "배송비는 배송 송비 비는 얼마"),
        ("ค่าส่ง", (), "ค่า าส่ ส่ง"),
        ("Café déjà", (), "Café déjà"),
        ("Die Gebühren", ("de",), "Die Gebühren gebuhr gebuehren gebuehr"),
        ("frais bancaires", ("fr",), "frais bancaires bancair"),
        ("нарушения ёлки", ("ru",), "нарушения ёлки елки нарушен елк"),
        ("opłaty za przelewy", ("pl",), "opłaty za przelewy opłat przel"),
        ("İstanbul Straße φίλος йод", (), "İstanbul Straße φίλος йод Istanbul φιλος"),
        ("نَمَسْتے الشركة", (), "نمستے الشركة الشركه"),
        ("नमस्ते दुनिया", (), "नमस्ते दुनिया"),
        ("Gebu\u0308hr so\u00adft", (), "Gebühr soft"),
    ],
)
def test_terms_of_every_language(text, languages, found):
    assert " ".join(terms(text, languages)) == found


@pytest.mark.parametrize("part", ["A", "Aa", "a1", "AaA ", "_", "A1b ", "运", "ส่", "배", "e\u0301", "_运"])
def test_terms_take_linear_time(part, takes_linear_time):
    assert takes_linear_time(lambda text: terms(text, ["de"]), lambda n: part * n)


PASSAGES = {
    "zh": ["订单满一百元免运费，否则收取十元。", "门店周一至周五上午九点营业。", "所有产品保修两年。", "退款五天内到账。"],
    "ja": ["送料は五千円以上の注文で無料です。", "営業時間は九時から六時までです。", "全製品二年間保証です。", "返金は五日以内です。"],
    "th": ["ค่าส่งฟรีเมื่อซื้อครบห้าร้อยบาท", "ร้านเปิดเก้าโมงเช้าถึงหกโมงเย็น", "สินค้าทุกชิ้นรับประกันสองปี", "คืนเงินภายในห้าวัน"],
    "ko": ["배송비는 오천원입니다.", "영업시간은 아홉시부터입니다.", "모든 제품은 이년간 보증됩니다.", "환불은 오일 이내에 처리됩니다."],
    "km": ["ថ្លៃដឹកជញ្ជូនគឺពីរដុល្លារ", "ហាងបើកម៉ោងប្រាំបួនព្រឹក", "ផលិតផលទាំងអស់ធានាពីរឆ្នាំ", "ការសងប្រាក់ក្នុងប្រាំថ្ងៃ"],
    "de": ["Überweisungen kosten zwei Euro Gebühr.", "Wir öffnen um neun Uhr.", "Auf alle Geräte geben wir zwei Jahre Garantie.",
           "Rückzahlungen dauern fünf Tage."],
    "fr": ["Les virements coûtent deux euros de frais.", "Nous ouvrons à neuf heures.", "Tous les appareils sont garantis deux ans.",
           "Le remboursement prend cinq jours."],
    "es": ["Las transferencias cuestan dos euros de comisión.", "Abrimos a las nueve.", "Todos los aparatos tienen garantía de dos años.",
           "El reembolso tarda cinco días."],
    "pl": ["Za przelewy pobieramy opłatę dwóch złotych.", "Otwieramy o dziewiątej.", "Na urządzenia dajemy dwa lata gwarancji.",
           "Zwrot pieniędzy trwa pięć dni."],
    "ru": ["Комиссия за переводы два рубля.", "Мы открываемся в девять часов.", "На все товары гарантия два года.", "Возврат денег занимает пять дней."],
    "ar": ["رسوم التحويلات ريالان.", "نفتح في الساعة التاسعة.", "كل الأجهزة عليها ضمان سنتين.", "استرداد المبلغ خلال خمسة أيام."],
    "hi": ["धन अंतरण का शुल्क दो रुपये है।", "दुकान नौ बजे खुलती है।", "सभी उत्पादों पर दो साल की गारंटी है।", "वापसी में पाँच दिन लगते हैं।"],
    "el": ["Τα εμβάσματα κοστίζουν δύο ευρώ.", "Ανοίγουμε στις εννέα.", "Όλες οι συσκευές έχουν εγγύηση δύο ετών.", "Η επιστροφή διαρκεί πέντε ημέρες."],
    "en": ["Wire transfers cost two euros each.", "We open at nine.", "All devices come with a warranty of two years.", "Refunds take five days."],
}  # fmt: skip
QUESTIONS = [
    ("运费", "zh", 0), ("保修期多长", "zh", 2), ("什么时候退款", "zh", 3), ("送料はいくら", "ja", 0), ("保証期間", "ja", 2),
    ("営業時間を教えて", "ja", 1), ("ค่าส่งเท่าไหร่", "th", 0), ("รับประกัน", "th", 2), ("배송비 얼마예요", "ko", 0), ("환불", "ko", 3),
    ("ដឹកជញ្ជូន", "km", 0), ("Überweisung", "de", 0), ("ueberweisung", "de", 0), ("Gebühren", "de", 0), ("Gebuehren", "de", 0),
    ("uberweisungen", "de", 0), ("Gerät", "de", 2), ("virement", "fr", 0), ("appareil garanti", "fr", 2), ("remboursements", "fr", 3),
    ("transferencia", "es", 0), ("comision", "es", 0), ("przelew", "pl", 0), ("gwarancja", "pl", 2), ("перевод", "ru", 0),
    ("гарантии", "ru", 2), ("التحويل", "ar", 0), ("शुल्क", "hi", 0), ("έμβασμα", "el", 0), ("εγγυηση", "el", 2), ("transferring wires", "en", 0),
    ("refunded", "en", 3),
]  # fmt: skip


@pytest.fixture(scope="module")
def mixed(embedder, tmp_path_factory):
    """All passages in one index, so that a few languages stand beside many."""
    documents = [
        Document(source=f"{name}{n}.md", text=text, title="", meta={"language": name})
        for name, texts in PASSAGES.items()
        for n, text in enumerate(texts)
    ]
    out = tmp_path_factory.mktemp("mixed")
    build_index(documents, embedder, Retrieval(), out, None, Silent())
    return Index(out, embedder)


@pytest.mark.parametrize(("question", "language", "n"), QUESTIONS)
def test_full_text_finds_the_passage_in_every_language(question, language, n, mixed):
    (hit,) = mixed.search(question, 1, weight=0.0)
    assert (hit.chunk.source, hit.text) == (f"{language}{n}.md", 1.0)


def test_a_long_question_without_spaces_is_searched_in_pieces():
    question = "我想知道订单的运费是多少，还有退款需要多长时间。" * 10
    found = pieces(question)
    assert len(found) > 3
    assert all(length_in_words(piece) <= 60 for piece in found)
    assert "".join("".join(found).split()) == question
    assert len("".join(pieces("运" * 5000))) == 16 * 50
    assert pieces("运费多少") == ["运费多少"]
