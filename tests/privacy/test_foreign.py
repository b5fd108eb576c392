"""Personal data in languages other than English, and what must not be taken for it."""

import pytest

from inhouse.chat import ChatRequest
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.pii import Pii
from inhouse.guardrails.rail import Turn
from inhouse.privacy.foreign import gaps
from inhouse.privacy.tagger import read_tagger
from inhouse.types import Message


@pytest.fixture(scope="module")
def pii_rail(anonymizer):
    """What the model reads of a request behind the rail `pii`."""
    rail = Pii(anonymizer, read_tagger(TAGGER))

    def read(text: str) -> str:
        turn = Turn(ChatRequest(messages=(Message(role="user", content=text),)))
        finding = rail.check("input", text, turn)
        return finding.text if finding else text

    return read


PERSONAL = [
    ("Ich heiße Erika Mustermann und wurde am 3. April 1985 in Köln geboren.", ["Erika Mustermann", "3. April 1985"]),
    ("Meine Adresse ist Lindenstraße 12, 50667 Köln.", ["Lindenstraße 12", "50667 Köln"]),
    (
        "Wir wohnen jetzt An der Eiche 4a, 20095 Hamburg, Tel. 040 1234567.",
        ["Eiche 4a", "20095 Hamburg", "040 1234567"],
    ),
    ("Guten Tag Frau Dr. Schmidt-Weber, Ihre Kundennummer lautet 4711 0815.", ["Schmidt-Weber", "4711 0815"]),
    ("Bitte um Rückruf.\n\nMit freundlichen Grüßen\nJürgen von der Heide", ["Jürgen von der Heide"]),
    (
        "Mein Kollege Thomas Müller meldet sich bei Ihnen wegen der Steuer-ID 86095742719.",
        ["Thomas Müller", "86095742719"],
    ),
    (
        "Me llamo María Ejemplo Prueba y vivo en la calle Mayor 15, 28013 Madrid.",
        ["María Ejemplo Prueba", "calle Mayor 15"],
    ),
    ("Mi DNI es 12345678Z y nací el 3 de abril de 1985.", ["12345678Z", "3 de abril de 1985"]),
    ("Je m'appelle Amélie Dupont et j'habite 12 bis rue de la Paix, 75002 Paris.", ["Amélie Dupont", "rue de la Paix"]),
    ("Appelez-moi au 06 12 34 56 78, je suis née le 12/03/1990.", ["06 12 34 56 78", "12/03/1990"]),
    ("Mi chiamo Marco Rossi, abito in Via Garibaldi 5, 00184 Roma.", ["Marco Rossi", "Via Garibaldi 5"]),
    ("Ik heet Jan de Vries en woon op Hoofdstraat 1, 1011 AB Amsterdam.", ["Jan de Vries", "Hoofdstraat 1", "1011 AB"]),
    ("Nazywam się Anna Kowalska, mieszkam przy ul. Długiej 5/12, 00-238 Warszawa.", ["Anna Kowalska", "Długiej 5/12"]),
    ("Meu nome é João da Silva, moro na Rua Augusta 10, 1100-053 Lisboa.", ["João da Silva", "Rua Augusta 10"]),
    ("私は佐藤健一と申します。住所は東京都千代田区丸の内1-1-1です。", ["佐藤健一", "丸の内1-1-1"]),
    ("電話番号は090-1234-5678、生年月日は1985年4月3日です。よろしくお願いします。", ["090-1234-5678", "1985年4月3日"]),
    ("Guten Tag, hier ist Jürgen Groß. Was kostet die Bohrmaschine bei Ihnen?", ["Jürgen", "Groß"]),
    ("こんにちは、田中太郎です。ドリルはいくらですか？", ["田中太郎"]),
    ("お世話になっております。高橋です。送料はいくらですか？", ["高橋"]),
    ("我叫张伟，住在北京市朝阳区建国路88号1单元502室。", ["张伟", "建国路88号1单元502室"]),
    ("电话13800138000，身份证110101199003071234，谢谢您。", ["13800138000", "110101199003071234"]),
    ("您好王小明先生，我们会拨打13800138000联系您。", ["王小明", "13800138000"]),
]
PLAIN = [
    "Was kostet eine Überweisung ins Ausland? Eine Überweisung ins Ausland kostet 12 Euro und wird dem Konto belastet.",
    "Der Vertrag läuft bis 31.12.2026, die Grundgebühr beträgt 9,90 Euro im Monat und 1.250,00 Euro im Jahr.",
    "Ich bin Kunde bei Ihnen und möchte die Karte sperren. Die Filiale hat montags bis freitags geöffnet.",
    "El pago mínimo es de 1.500 € y la tarifa plana cuesta 20 euros desde el 1 de enero de 2026.",
    "La commande coûte 1 250,50 € et arrive le 3 avril 2026. Le retrait est gratuit.",
    "Il bonifico costa 2,50 euro e arriva entro due giorni lavorativi dal 1 marzo 2026.",
    "De overschrijving kost 12 euro en duurt twee werkdagen. Het kantoor is open tot 17:30 uur.",
    "Przelew kosztuje 12 500 zł i trwa dwa dni robocze. Oddział jest czynny do 17:30.",
    "A transferência custa 12 euros e demora dois dias úteis a partir de 1 de março de 2026.",
    "お客様のご注文は2026年3月1日に発送します。料金は1,200円です。皆様のご来店をお待ちしております。",
    "こんにちは、東京です。こんにちは、原因不明です。料金はいくらですか。",
    "门店周一至周五上午九点到下午六点营业，运费15元，2026年3月1日起生效。",
]


@pytest.mark.parametrize(("text", "values"), PERSONAL)
def test_personal_data_is_replaced_in_training_data_and_in_requests(chat, anonymizer, pii_rail, text, values):
    done = anonymizer.anonymize(chat(text, "OK."))[0].question
    assert [v for v in values if v in done] == []
    read = pii_rail(text)
    assert [v for v in values if v in read] == []


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_words_amounts_and_dates_stay(chat, anonymizer, pii_rail, text):
    assert anonymizer.anonymize(chat(text, text))[0].question == text
    assert pii_rail(text) == text


def test_a_value_is_replaced_in_the_reply_too_and_by_the_language_of_the_conversation(chat, anonymizer):
    done, counts = anonymizer.anonymize(
        chat("Wie ist Ihr Name?", "Wie ist Ihr vollständiger Name, bitte?", "Kowalczyk", "Danke, Frau Kowalczyk.")
    )
    assert "Kowalczyk" not in done.question + done.target
    assert counts == {"PERSON": 1}
    done, _ = anonymizer.anonymize(
        chat("Vivo en la calle Mayor 15, 28013 Madrid.", "Gracias, hemos guardado la dirección calle Mayor 15.")
    )
    assert done.target == "Gracias, hemos guardado la dirección <ADDRESS_1>."


def test_what_is_not_covered_is_said():
    assert gaps(["en"]) == []
    assert "de, zh" in gaps(["zh", "de", "en"])[0]
    assert "no rules for sv" in gaps(["sv"])[0]
