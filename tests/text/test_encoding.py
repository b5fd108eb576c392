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

MORE = [  # written after the rules were made for the two tables above
    ("Kündigung der Mitgliedschaft", "cp1252 latin-1 mac-roman"),
    ("Ärger mit der Überweisung? Rufen Sie uns an!", "cp1252 latin-1 mac-roman"),
    ("Straße: Königsallee 5\nOrt: Düsseldorf", "cp1252 latin-1 mac-roman"),
    ("Öffnungszeiten: Mo–Fr 9–17 Uhr", "cp1252 mac-roman"),
    ("Wie hoch ist die Gebühr?", "cp1252 latin-1 mac-roman"),
    ("50 €/Monat zzgl. MwSt.", "cp1252 iso8859-15 mac-roman"),
    ("Gebühr: €5", "cp1252 mac-roman"),
    ("Ça va ?", "cp1252 latin-1"),
    ("Dès réception, nous vérifions votre dossier. L’équipe vous répond sous 48 h.", "cp1252 mac-roman"),
    ("À bientôt", "cp1252 latin-1 mac-roman"),
    ("Où êtes-vous né ?", "cp1252 latin-1 mac-roman"),
    ("Noël, à Orléans", "cp1252 latin-1 mac-roman"),
    ("¿Dónde está la oficina?", "cp1252 latin-1 mac-roman"),
    ("Atención al cliente: 9 a 18 h", "cp1252 latin-1"),
    ("Niño", "cp1252 latin-1 mac-roman"),
    ("Dirección: Av. José Martí nº 5", "cp1252 latin-1 mac-roman"),
    ("Informações: ligue já", "cp1252 latin-1 mac-roman"),
    ("Ação", "cp1252 latin-1 mac-roman"),
    ("perché no?", "cp1252 latin-1 mac-roman"),
    ("La tariffa è di 5 €", "cp1252 mac-roman"),
    ("Città", "cp1252 latin-1 mac-roman"),
    ("è gratis", "cp1252 latin-1 mac-roman"),
    ("Årsavgift för kortet är 250 kr", "cp1252 latin-1 mac-roman"),
    ("Räntan höjs i år", "cp1252 latin-1 mac-roman"),
    ("Å betale nå", "cp1252 latin-1 mac-roman"),
    ("Kære kunde", "cp1252 latin-1 mac-roman"),
    ("Hyvää päivää", "cp1252 latin-1 mac-roman"),
    ("Ísland", "cp1252 latin-1"),
    ("The “Premium” plan – £9.99/month", "cp1252"),
    ("Don’t pay twice", "cp1252"),
    ("Customers’ rights…", "cp1252"),
    ("Cost £1,000.00", "cp1252 latin-1"),
    ("Total: £12", "cp1252 mac-roman"),
    ("25°C", "cp1252 latin-1 mac-roman"),
    ("© 2026", "cp1252 latin-1 mac-roman"),
    ("Copyright ® Acme™", "cp1252 mac-roman"),
    ("5 ¢ a page", "cp1252"),
    ("¥500", "cp1252"),
    ("100 ¥ or 5 €", "cp1252"),
    ("He said “yes”.", "cp1252 mac-roman"),
    ("‘single’ quotes", "cp1252"),
    ("a • b • c", "cp1252"),
    ("A—B", "cp1252"),
    ("1 × 2", "cp1252"),
    ("10 µg", "cp1252"),
    ("naïve façade, résumé, piñata", "cp1252 latin-1 mac-roman"),
    ("Beyoncé", "cp1252 latin-1 mac-roman"),
    ("Zoë Müller", "cp1252 latin-1 mac-roman"),
    ("François Lefèvre", "cp1252"),
    ("Søren Kierkegård", "cp1252 latin-1 mac-roman"),
    ("Grün-weiß", "cp1252 latin-1 mac-roman"),
    ("ß", "cp1252"),
    ("Nr. 5 – für Österreich", "cp1252"),
    ("FÜR GESCHÄFTSKUNDEN", "cp1252 latin-1 mac-roman"),
    ("GEBÜHREN 2026: GRÖSSE L", "cp1252 latin-1 mac-roman"),
    ("Für Überweisung", "cp850"),
    ("Gebühren größer als fünf Euro, außer für Schüler", "cp850"),
    ("Los niños están aquí mañana. La comisión es así.", "cp850"),
    ("Dzień dobry", "cp1250 iso8859-2"),
    ("Ile kosztuje przelew? Pięć złotych.", "cp1250 iso8859-2"),
    ("Łódź", "cp1250 iso8859-2"),
    ("Święta Wielkanocne są w kwietniu.", "cp1250 iso8859-2"),
    ("CENNIK USŁUG BANKU – PRZELEWY KRAJOWE I ZAGRANICZNE, OPŁATY MIESIĘCZNE", "cp1250"),
    ("Děkujeme za váš dotaz.", "cp1250 iso8859-2"),
    ("Kolik stojí účet? Nic, je zdarma pro každého.", "cp1250"),
    ("Číslo účtu", "cp1250"),
    ("Mennyibe kerül az átutalás? Kérjük, hívja ügyfélszolgálatunkat időpontért.", "cp1250"),
    ("Köszönöm szépen, őszintén", "cp1250"),
    ("Čestitamo, vaš račun je otvoren!", "cp1250"),
    ("Comisionul pentru transferuri în străinătate este de cinci lei şi se plăteşte lunar.", "cp1250"),
    ("Merhaba, nasılsınız?", "cp1254"),
    ("Hesap işletim ücreti yıllık 100 TL'dir.", "cp1254 iso8859-9"),
    ("Müşteri hizmetlerine bağlanmak için 1'i tuşlayın.", "cp1254"),
    ("Labas rytas, kaip sekasi? Sąskaitos mokestis nėra taikomas.", "cp1257"),
    ("Labdien! Konta apkalpošanas maksa ir divi eiro mēnesī.", "cp1257"),
    ("Спасибо!", "cp1251 koi8-r cp866"),
    ("Как открыть счёт?", "cp1251 koi8-r mac-cyrillic"),
    ("Добрий день, скільки коштує переказ? Її ціна є низькою.", "cp1251 koi8-u"),
    ("Здравейте, колко струва преводът?", "cp1251"),
    ("Цена: 100 руб.", "cp1251 koi8-r"),
    ("id;имя\n1;Анна\n", "cp1251 koi8-r"),
    ("О компании", "cp1251"),
    ("Ευχαριστώ πολύ", "cp1253 iso8859-7"),
    ("Τιμή: 5 ευρώ", "cp1253"),
    ("Ποιο είναι το κόστος της κάρτας;", "cp1253"),
    ("תודה רבה על פנייתך", "cp1255"),
    ("شكرا لك على اتصالك", "cp1256"),
    ("السعر: 5 دولار", "cp1256"),
    ("ありがとうございます。", "shift_jis euc-jp iso2022-jp"),
    ("料金表", "shift_jis euc-jp iso2022-jp"),
    ("ご注文", "shift_jis euc-jp"),
    ("カード", "shift_jis euc-jp"),
    ("年会費は1,100円（税込）です", "shift_jis euc-jp"),
    ("名前,住所\n田中,東京\n", "shift_jis euc-jp"),
    ("Q: 休みはいつですか？ A: 日曜日です", "shift_jis euc-jp"),
    ("营业时间：9:00–17:00", "gb18030"),
    ("客户须知", "gb18030"),
    ("公司简介\n我们成立于1998年。", "gb18030"),
    ("￥500元", "gb18030"),
    ("名称,数量\n苹果,3", "gb18030"),
    ("謝謝您的來電", "big5"),
    ("營業時間：9:00-17:00", "big5"),
    ("客戶須知", "big5"),
    ("公司簡介", "big5"),
    ("감사합니다.", "euc-kr"),
    ("수수료는 얼마입니까?", "euc-kr"),
    ("이름,나이\n김철수,30", "euc-kr"),
    ("ขอบคุณครับ", "tis-620"),
    ("ราคา 500 บาท", "tis-620"),
    ("营业时间是九点到五点，周日休息", "utf-16-le utf-16-be"),
    ("Тарифы банка", "utf-16-le utf-16-be utf-32-le"),
    ("ราคา", "utf-16-le"),
    ("Fee", "utf-16-le utf-16-be"),
    ("مرحبا بكم", "utf-16-le"),
    ("Möchten Sie Ihr Passwort zurücksetzen?", "cp1252 latin-1 mac-roman"),
    ("Wir haben täglich geöffnet.", "cp1252 latin-1 mac-roman"),
    ("Für Rückfragen: Tel. 030/12345", "cp1252 latin-1 mac-roman"),
    ("Käse 2,50 € / 100 g", "cp1252 iso8859-15 mac-roman"),
    ("Mañana no abrimos.", "cp1252 latin-1 mac-roman"),
    ("Teléfono: 91 555 00 00", "cp1252 latin-1 mac-roman"),
    ("¿Qué documentos necesito para abrir una cuenta?", "cp1252 latin-1 mac-roman"),
    ("Votre numéro de dossier à rappeler", "cp1252 latin-1 mac-roman"),
    ("L’été, nos bureaux ferment à 17 h.", "cp1252 mac-roman"),
    ("Crème brûlée 6,50 €", "cp1252 mac-roman"),
    ("Horário de atendimento: 9h às 18h", "cp1252 latin-1 mac-roman"),
    ("Você já é cliente?", "cp1252 latin-1 mac-roman"),
    ("Perché scegliere noi? Più qualità, meno costi.", "cp1252 latin-1 mac-roman"),
    ("Så här gör du en överföring", "cp1252 latin-1 mac-roman"),
    ("Få hjælp på dansk", "cp1252 latin-1 mac-roman"),
    ("Kjøp på nett", "cp1252 latin-1 mac-roman"),
    ("Ilmoitäkää osoitteenmuutos", "cp1252 latin-1 mac-roman"),
    ("Bestelling geannuleerd: €12,50", "cp1252 mac-roman"),
    ("“Free shipping” over £30 – today only", "cp1252"),
    ("The customer’s account isn’t active", "cp1252 mac-roman"),
    ("Temp. ±2 °C, 5 µm, ½ inch", "cp1252 latin-1"),
    ("© 2026 Müller & Söhne GmbH", "cp1252 latin-1 mac-roman"),
    ("Order #5… shipped", "cp1252"),
    ("Café Zoë – naïve coöperation", "cp1252"),
    ("Zamówienie zostało wysłane.", "cp1250 iso8859-2"),
    ("Godziny otwarcia: pn–pt 9–17, sobota nieczynne. Dziękujemy.", "cp1250"),
    ("Vaše objednávka byla odeslána.", "cp1250 iso8859-2"),
    ("Otevírací doba: po–pá 9–17 h", "cp1250"),
    ("Rendelését feladtuk. Kérdése van? Írjon nekünk bátran, örömmel válaszolunk minden időben.", "cp1250 iso8859-2"),
    ("Siparişiniz gönderildi.", "cp1254 iso8859-9"),
    ("Ödeme yöntemi seçiniz", "cp1254"),
    ("Ваш заказ отправлен.", "cp1251 koi8-r iso8859-5 cp866"),
    ("Режим работы: 9–17", "cp1251"),
    ("Замовлення відправлено, дякуємо за покупку", "cp1251 koi8-u"),
    ("Вашата поръчка е изпратена.", "cp1251"),
    ("Η παραγγελία σας εστάλη.", "cp1253 iso8859-7"),
    ("ההזמנה שלך נשלחה", "cp1255 iso8859-8"),
    ("تم إرسال طلبك بنجاح", "cp1256"),
    ("Jūsų užsakymas išsiųstas. Ačiū, kad perkate pas mus.", "cp1257 iso8859-13"),
    ("Jūsu pasūtījums ir nosūtīts, paldies par pirkumu.", "cp1257"),
    ("ご注文ありがとうございます。発送しました。", "shift_jis euc-jp iso2022-jp"),
    ("営業時間は9時から17時までです", "shift_jis euc-jp"),
    ("送料無料", "shift_jis euc-jp"),
    ("您的订单已发货。", "gb18030"),
    ("营业时间", "gb18030"),
    ("姓名,电话\n张三,123\n", "gb18030"),
    ("您的訂單已出貨。", "big5"),
    ("營業時間", "big5"),
    ("姓名,電話\n王小明,123\n", "big5"),
    ("주문이 발송되었습니다.", "euc-kr"),
    ("영업시간: 9시-17시", "euc-kr"),
    ("คำสั่งซื้อของคุณถูกจัดส่งแล้ว", "tis-620"),
    ("您的订单已发货", "utf-16-le utf-16-be"),
    ("Ваш заказ", "utf-16-le utf-16-be"),
    ("Größe", "utf-16-le utf-16-be utf-32-le"),
]

UNICODE = ["Gebühren für Überweisungen\n\nEine Überweisung kostet 12 €.", "It's free.", "海外送金の手数料は五千円です。",
           "Комиссия за перевод", "Price 5", "手续费是五元。", "Η προμήθεια", "해외 송금 수수료", "عمولة التحويل", "OK"]  # fmt: skip


def misread(rows):
    """What is not read as it was written: encoding, text, and what was read."""
    cases = [(encoding, text, *decode(text.encode(encoding))) for text, names in rows for encoding in names.split()]
    return [(encoding, text, read) for encoding, text, read, note in cases if read != text or "assumed" not in note]


@pytest.mark.parametrize("rows", [WESTERN, OTHER, MORE], ids=["western", "other", "more"])
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
        ("营业时间：9:00–17:00".encode("gb18030"), "营业时间：9:00–17:00", "read as GB18030 (assumed)"),
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


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Возврат в течение 30 дней", "cp1251"),
        ("Отделение закрыто в воскресенье", "cp1251"),
        ("שעות פתיחה: 9-17, סגור בשבת", "cp1255"),
        ("בְּרֵאשִׁית בָּרָא", "cp1255"),
    ],
)
def test_cyrillic_and_hebrew_are_told_apart(text, encoding):
    assert decode(text.encode(encoding))[0] == text
