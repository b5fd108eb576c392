"""Texts of a few words in the encodings that people's programs write, read back whole, with a note where assumed."""

import pytest

from inhouse.text.encoding import NotText, decode

WESTERN = [  # (text, encodings)
    ("Un virement à l'étranger coûte 12 €. Où ?", "cp1252"),
    ("Price: £5 or €6 per naïve user.", "cp1252"),
    ("It’s free.", "cp1252"),
    ("Express delivery costs 5 € per parcel – “next day” service.\nStandard delivery is free.", "cp1252"),
    ("Price: £5 or €6", "cp1252"),
    ("£5", "cp1252 latin-1"),
    ("Fee: 12 €", "cp1252 iso8859-15 mac-roman"),
    ("café", "cp1252 latin-1 iso8859-15"),
    ("Grüße aus München", "cp1252 latin-1 mac-roman"),
    ("Die Gebühr für Überweisungen beträgt fünf Euro.", "cp1252 latin-1 mac-roman"),
    ("Größe;Preis\nklein;1,50 €\n", "cp1252 iso8859-15"),
    ("El año pasado la comisión subió un 3 %. ¿Cuándo?", "cp1252 latin-1 mac-roman"),
    ("¡Hola! ¿Qué tal?", "cp1252 latin-1"),
    ("Não há tarifa para transferências até amanhã.", "cp1252 latin-1 mac-roman"),
    ("Il costo è più alto perché la società è all’estero.", "cp1252 mac-roman"),
    ("De coöperatie rekent € 5 per financiële transactie.", "cp1252 mac-roman"),
    ("Avgiften är 50 kronor per överföring.", "cp1252 latin-1"),
    ("Gebyret på overførsler er 20 kr. for små beløb.", "cp1252 latin-1 mac-roman"),
    ("Tilisiirto on maksuton. Lisätietoja pyynnöstä.", "cp1252 latin-1"),
    ("Þetta er gjald fyrir millifærslu á Íslandi.", "cp1252 latin-1"),
    ("Terms & Conditions © 2026 Example Bank® – all rights reserved…", "cp1252"),
    ("Oven at 220 °C, ±5 °C; area 12 m²; ½ cup", "cp1252 latin-1"),
    ("“We’re closed on Monday,” she said — don’t come.", "cp1252 mac-roman"),
    ("L’œuvre coûte 5 € ; le cœur n’a pas de prix.", "cp1252 mac-roman"),
    ("• First item\n• Second item\n• Third item", "cp1252 mac-roman"),
    ("The rule is in § 5 of the agreement.", "cp1252 latin-1"),
    ("Name: José Muñoz\nCity: Málaga", "cp1252 latin-1 mac-roman"),
    ("ÜBERWEISUNGEN UND GEBÜHREN", "cp1252 latin-1"),
    ("TARIFS GÉNÉRAUX À L'ÉTRANGER", "cp1252 latin-1"),
    ("Name,Fee\nZürich,5\nGenève,7\n", "cp1252 latin-1 mac-roman"),
    ("Résumé", "cp1252 latin-1 mac-roman"),
    ("Fianna Fáil agus Sinn Féin; tá fáilte romhat", "cp1252 latin-1"),
    ("L'import és de 5 €; la comissió és més baixa, oi? Col·legi", "cp1252"),
    ("Frais de dossier : 30 €", "cp1252"),
    ("Maß: 3 × 4 cm, 5 µm", "cp1252 latin-1"),
    ("Trade mark: Inhouse™ 10 ‰", "cp1252"),
    ("Œuvres d’art: 5 %", "cp1252"),
    ("ANTÓNIO ÂNGELO, SÃO PAULO, AV. DO CAFÉ 12", "cp1252 latin-1"),
]

OTHER = [
    # Central European
    ("Opłata za przelew zagraniczny wynosi pięć złotych.", "cp1250 iso8859-2"),
    ("Żółta łódź płynie do Gdańska. Proszę zapłacić.", "cp1250 iso8859-2"),
    ("Poplatek za převod činí dvacet korun měsíčně.", "cp1250 iso8859-2"),
    ("Příliš žluťoučký kůň úpěl ďábelské ódy.", "cp1250 iso8859-2"),
    ("A külföldi átutalás díja ötszáz forint. Köszönjük a megértését, üdvözlettel.", "cp1250 iso8859-2"),
    ("Naknada za međunarodno plaćanje iznosi pet eura. Više informacija možete pronaći.", "cp1250 iso8859-2"),
    ("Poplatok za zahraničný prevod je päť eur. Ďakujeme, že ste naším zákazníkom.", "cp1250 iso8859-2"),
    ("Provizija za nakazilo v tujino znaša pet evrov. Več informacij na spletišču.", "cp1250"),
    ("Wysokość opłaty zależy od kwoty", "cp1250 iso8859-2"),
    # Cyrillic
    ("Комиссия за перевод за границу составляет пять рублей.", "cp1251 koi8-r iso8859-5 cp866 mac-cyrillic"),
    ("Привет, мир", "cp1251 koi8-r"),
    ("Тарифы", "cp1251 koi8-r"),
    ("ТАРИФЫ И КОМИССИИ БАНКА", "cp1251 koi8-r"),
    ("Стоимость: 5 € в месяц", "cp1251"),
    ("Комісія за переказ становить п'ять гривень. Її сплачує відправник, і це є умовою.", "cp1251 koi8-u"),
    ("Таксата за превод в чужбина е пет лева.", "cp1251"),
    ("Накнада за међународно плаћање износи пет динара. Више информација његов љубав.", "cp1251 iso8859-5"),
    ("name;price\nхлеб;5\nмолоко;7\n", "cp1251 koi8-r"),
    # Greek
    ("Η προμήθεια για έμβασμα στο εξωτερικό είναι πέντε ευρώ.", "cp1253 iso8859-7"),
    ("Καλημέρα σας", "cp1253 iso8859-7"),
    ("Κόστος: 5 € τον μήνα", "cp1253"),
    # Turkish
    ("Yurt dışı havale ücreti beş liradır. Şubelerimiz açık.", "cp1254 iso8859-9"),
    ("İşlem ücreti alınmaz, çünkü ürün ücretsizdir. Müşteri olmanız yeterlidir.", "cp1254 iso8859-9"),
    # Hebrew
    ("העמלה עבור העברה לחו״ל היא חמישה שקלים.", "cp1255"),
    ("שלום עולם, מה שלומך היום", "cp1255 iso8859-8"),
    # Arabic
    ("رسوم التحويل إلى الخارج خمسة دولارات.", "cp1256 iso8859-6"),
    ("مرحبا بكم في البنك", "cp1256 iso8859-6"),
    # Baltic
    ("Tarptautinio pavedimo mokestis yra penki eurai. Ačiū, kad esate mūsų klientas, šį mėnesį.", "cp1257 iso8859-13"),
    ("Komisijas maksa par pārskaitījumu uz ārzemēm ir pieci eiro. Paldies, ka esat mūsu klients.", "cp1257 iso8859-13"),
    ("Välismaksete teenustasu on viis eurot. Täname, et olete meie klient, õhtul ja öösel šokolaad.", "cp1257"),
    # Japanese
    ("海外送金の手数料は五千円です。", "shift_jis euc-jp iso2022-jp cp932"),
    ("こんにちは", "shift_jis euc-jp iso2022-jp"),
    ("商品名,価格\nりんご,100\nみかん,80\n", "shift_jis euc-jp"),
    ("お問い合わせはメールでお願いします。", "shift_jis euc-jp iso2022-jp"),
    ("ﾃｽﾄ株式会社 御中", "shift_jis"),
    ("手数料", "shift_jis euc-jp iso2022-jp"),
    ("㈱テスト①番", "cp932"),
    # Chinese
    ("产品,价格\n保险,1.5\n保养,0.5\n", "gb18030 gbk"),
    ("国际汇款的手续费是五元。", "gb18030"),
    ("您好，请问有什么可以帮您？", "gb18030"),
    ("手续费", "gb18030"),
    ("Fee schedule 费用表 2026", "gb18030"),
    ("國際匯款的手續費是五元。", "big5 big5hkscs"),
    ("您好，請問有什麼可以幫您？", "big5"),
    ("產品,價格\n保險,1.5\n", "big5"),
    ("價格表", "big5"),
    # Korean
    ("해외 송금 수수료는 오천 원입니다.", "euc-kr cp949"),
    ("안녕하세요", "euc-kr"),
    ("상품,가격\n사과,100\n", "euc-kr"),
    # Thai
    ("ค่าธรรมเนียมการโอนเงินไปต่างประเทศห้าบาท", "tis-620 cp874"),
    ("สวัสดีครับ", "tis-620"),
]

UNICODE = ["Gebühren für Überweisungen\n\nEine Überweisung kostet 12 €.", "It's free.", "海外送金の手数料は五千円です。",
           "Комиссия за перевод", "Price 5", "手续费是五元。", "Η προμήθεια", "해외 송금 수수료", "عمولة التحويل", "OK"]  # fmt: skip


def misread(rows):
    """What is not read as it was written: encoding, text, and what was read."""
    cases = [(encoding, text, *decode(text.encode(encoding))) for text, names in rows for encoding in names.split()]
    return [(encoding, text, read) for encoding, text, read, note in cases if read != text or "assumed" not in note]


@pytest.mark.parametrize("rows", [WESTERN, OTHER], ids=["western", "other"])
def test_short_texts_in_older_encodings(rows):
    assert misread(rows) == []


def test_unicode_without_a_mark_is_assumed_and_utf8_is_not():
    assert misread([(text, "utf-16-le utf-16-be utf-32-le utf-32-be") for text in UNICODE]) == []
    for text in UNICODE:
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
            assert decode(text.encode(encoding)) == (text, "")


@pytest.mark.parametrize(
    ("data", "text", "note"),
    [
        ("Grüße 👩‍👩‍👧 שלום".encode(), "Grüße 👩‍👩‍👧 שלום", ""),
        ("\ufeffGrüße".encode("utf-32-be"), "Grüße", ""),
        ("Grüße, ".encode() + b"\xff" + "schöne".encode(), "Grüße, \ufffdschöne", "1 character could not be decoded"),
        ("Schöne Grüße aus Köln €".encode()[:-1], "Schöne Grüße aus Köln \ufffd", "1 character could not be decoded"),
        (
            "Grüße und schöne Tage\n".encode() * 3 + "für dich\n".encode("cp1252"),
            "Grüße und schöne Tage\n" * 3 + "für dich\n",
            "1 line not in UTF-8 (encoding assumed)",
        ),
        (b"It\x92s free.", "It’s free.", "read as Windows-1252 (assumed)"),
        (b"Gr\xfc\xdfe \x81 aus K\xf6ln", "Grüße \ufffd aus Köln",
         "read as Windows-1252 (assumed), 1 character could not be decoded"),
        ("Grüße".encode("utf-16") + b"\0", "Grüße\ufffd", "1 character could not be decoded"),
    ],
)  # fmt: skip
def test_notes(data, text, note):
    assert decode(data) == (text, note)


@pytest.mark.parametrize("data", [bytes(range(256)) * 9, b"\x89PNG\r\n\x1a\n" + bytes(200), b"\0\1\2\3" * 99])
def test_binary_data_is_refused(data):
    with pytest.raises(NotText, match="binary"):
        decode(data)


@pytest.mark.parametrize("part", ["é", "éa ", "Grüße\n", "€ 5;", "\x92"])
def test_a_large_file_takes_linear_time(part, takes_linear_time):
    assert takes_linear_time(decode, lambda n: part.encode("latin-1", "replace") * n, 20_000)
