"""Personal data in other languages, by kind: how it is introduced, signed, labeled, and laid out. Values are marked."""

import re
import time

import pytest

from inhouse.privacy import foreign

MARKED = re.compile(r"\{([^}]*)\}")
PERSONAL = {
    "introduced, in lower case": [
        "moin, hier ist {torben hinrichs}, mein paket ist immer noch nicht da",
        "ich bin {fatma kaya}, bitte rufen sie mich an",
        "soy {carlos ramírez}, no me llega el código de la cuenta",
        "slt c'est {mehdi benali}, toujours pas de colis pour la commande",
        "ciao sono {giuseppe esposito}, il mio pacco non è arrivato",
        "ik ben {kees de boer}, ik wacht nog steeds op mijn pakket",
        "hej, tu {krzysiek zieliński}, paczka nadal nie dotarła",
        "oi, aqui é o {wellington da silva}, meu pedido não chegou",
        "la señora {garcía} ya llamó ayer por la factura",
    ],
    "introduced, in no list of names": [
        "Muy buenas, le habla {Xiomara Quispe Mamani}, llamo por la factura de este mes.",
        "Bonsoir, ici {Bakary Coulibaly}, je vous écris pour le contrat.",
        "Goedemiddag, u spreekt met {Oumaima Bouazza}, het gaat om de factuur.",
        "Dobry wieczór, z tej strony {Dmytro Bondarenko}, piszę w sprawie faktury.",
    ],
    "relatives": [
        "Mein Sohn {Leon} hat die Karte verloren, geb. {01.02.2009}.",
        "El NIE de mi esposa, {Oksana Shevchenko}, no está en el contrato.",
        "Mon mari, {Youssef}, est né le {12-05-88} à Lyon.",
        "Mio marito {Salvatore} è nato il {01.07.79} a Bari.",
        "Mijn man {Dirk-Jan} is bereikbaar op {0612345987}.",
        "Mój mąż {Piotr} urodził się {1981-09-17} w Krakowie.",
        "Minha esposa {Jussara} nasceu em {30.11.93} no Rio.",
        "主人の{大輔}の携帯は{080-9876-5432}です。",
        "我先生{赵明轩}的邮箱是这个，请发给他。",
    ],
    "owners and addressees": [
        "Die Rückzahlung bitte auf das andere Konto, Kontoinhaber {Nguyen Thi Hoa}.",
        "Virez la somme sur mon compte, titulaire {Fatoumata Diallo}.",
        "Accreditate la somma sul conto intestato a {Fatima El Amrani}.",
        "Graag terugstorten op de rekening t.n.v. {Y. Öztürk}.",
        "Proszę przelać zwrot na konto, właściciel {Oleksandr Kovalenko}.",
        "返金先の口座の名義は{タナカ ヒロシ}です。",
    ],
    "forms": [
        "Empfänger: {Weiß, Karl-Otto}\n{Zum Kuckucksberg 4, Hinterhaus, 98527 Suhl}",
        "Destinatario: {Peña Ortiz, Rocío}\n{Pasaje de los Olivos 7, esc. B, 41003 Sevilla}",
        "Destinataire : {Lemoine, Pascale}\n{5 résidence Les Tilleuls, appt 12, 44000 Nantes}",
        "Ontvanger: {Jansen, Roos}\n{De Hoge Hoek 7 bus 3, 3511 LX Utrecht}",
        "Odbiorca: {Zając, Halina}\n{Stare Miasto 5 lok. 8, 33-300 Nowy Sącz}",
        "Destinatário: {Ramos, Beatriz}\n{Quinta do Vale 15, bloco 2, 2710-089 Sintra}",
        "氏名：{渡辺 翔太}\nフリガナ：{ワタナベ ショウタ}\n宛名：{松本 隆} 様",
        "收件人：{诸葛亮}\n地址：{四川省成都市武侯区天府大道200号2栋301室}",
    ],
    "above an address": [
        "Bitte liefern Sie an:\n{Maximilian Freiherr von Thadden}\n{Am Alten Markt 7a}\n{24103 Kiel}",
        "Adres dostawy:\nSz. P. {Bogdan Wójcik}\n{ul. Świętego Marcina 24/7}\n{61-805 Poznań}",
        "Dirección de entrega:\n{Lucía Ferrer Bosch}\n{Avda. Diagonal, 431 bis, 2.º 1.ª}\n{08036 Barcelona}",
    ],
    "signed": [
        "Danke für die schnelle Hilfe.\nViele Grüße\n{P. J. von Ahn}",
        "Gracias por todo.\nAtentamente,\n\n{Mª Dolores Ibarra}",
        "Merci pour votre aide. Bises, {Margaux}",
        "Grazie di tutto per l'aiuto. Un abbraccio, {Chiara}",
        "Ik hoor graag van u.\nHoogachtend,\n{A.B.C. van den Berg}",
        "Dziękuję za pomoc w sprawie umowy.\nŁączę pozdrowienia\n{M. Skłodowska}",
        "よろしくお願いいたします。\n{佐々木 恵}\n営業部",
        "此致\n敬礼\n{刘建国}\n采购部",
    ],
    "numbers": [
        "Rozmawiałem z panem Markiem w sprawie umowy nr {U/2024/55120}.",
        "Boa noite, escrevo sobre a fatura {FT 2024/118} do mês passado.",
        "周先生您好，您的合同编号{HT-2024-5512}已续签，微信号{meiling_situ88}。",
    ],
}
PLAIN = [
    "Ist der Artikel 4006381333 im Lager, oder nur Modell 88123456?",
    "¿Tienen en almacén el artículo 8410031987?",
    "Avez-vous l'article 3017620422 en stock ?",
    "È disponibile l'articolo 8001090379 nel negozio?",
    "Czy artykuł 5901234123 jest dostępny w magazynie?",
    "商品番号4901234567は在庫がありますか。",
    "商品编号6901234567还有库存吗？",
    "Herr Ober, die Rechnung bitte, stand in der Anzeige.",
    "Ich bin sehr zufrieden, hier ist alles gut gelaufen, die Kollegin war nett.",
    "Soy muy feliz con el servicio, es la Mejor Tienda Online.",
    "Ik ben blij met de service, dit is Top Kwaliteit.",
    "Estou feliz com o serviço, é a Melhor Loja.",
    "Mon mari et moi avons acheté 2 vélos à 300 €, je suis ravi.",
    "妻の会社の近くの店です。母の日のギフトです。お名前は必須です。",
    "我朋友高兴地推荐了这款产品，我同事方便的时候来取。本人向贵司申请退款。",
]
HOSTILE = (
    "A-",
    "A ",
    "Ab 1, ",
    "Ab 1\n",
    "1",
    "12 ",
    "王",
    "佐藤 ",
    "ア",
    " ",
    "\n",
    "A.",
    "Frau ",
    "Am Weg 1 ",
    "路1号",
)


@pytest.mark.parametrize("kind", PERSONAL)
def test_personal_data_of_a_kind_is_replaced(chat, anonymizer, kind):
    left = []
    for marked in PERSONAL[kind]:
        done = anonymizer.anonymize(chat(MARKED.sub(r"\1", marked), "OK."))[0].question
        left += [(value, done) for value in MARKED.findall(marked) if value in done]
    assert left == []


@pytest.mark.parametrize("text", PLAIN)
def test_numbers_of_articles_and_ordinary_words_stay(chat, anonymizer, text):
    assert anonymizer.anonymize(chat(text, text))[0].question == text


def test_a_particle_of_a_name_stays_elsewhere(chat, anonymizer):
    done = anonymizer.anonymize(chat("U spreekt met Maria de Groot, ik bel over de storing.", "OK."))[0]
    assert done.question == "U spreekt met <PERSON_1>, ik bel over de storing."


@pytest.mark.parametrize("language", sorted(foreign.RULES))
def test_hostile_texts_take_no_time(language):
    foreign.found("Anna 12", language)  # reads the lists of names
    for part in HOSTILE:
        started = time.process_time()
        foreign.found(part * (10_000 // len(part)), language)
        assert time.process_time() - started < 0.2, part
