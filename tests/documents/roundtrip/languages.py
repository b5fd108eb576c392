"""How twelve languages write names, prices, dates, and times: what the facts of the round trip are made of."""

from dataclasses import dataclass

MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "ar": "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
}


@dataclass(frozen=True)
class Language:
    """`separators` are the decimal and the thousands sign; patterns hold {n}, or {d}, {m}, {y}, {month} of a date."""

    code: str
    separators: str
    prices: tuple[str, ...]
    dates: tuple[str, ...]
    time: str
    percent: str
    encodings: tuple[str, ...]
    products: tuple[str, ...]
    groups: tuple[str, ...]
    columns: tuple[str, ...]  # product, group, price, valid from, discount, article number
    sentences: tuple[str, ...]
    filler: tuple[str, ...]
    attribution: str = "On {date}, {time}, Ana Silva <ana@example.com> wrote:"


WESTERN = ("cp1252", "iso-8859-15")
ALL = (
    Language(
        "en", ".,", ("${n}", "£{n}", "USD {n}"), ("{month} {d}, {y}", "{d} {month} {y}"), "{h}:{min}", "{n}%", ("cp1252",),
        ("Kettle Alba 2000", "Salt & Pepper Mill", "Travel Mug \"Nomad\"", "Rucksack O'Hara", "Open_Air Stove", "Desk Lamp Nº 5"),
        ("Kitchen", "Outdoor", "Office"), ("Product", "Group", "Price", "Valid from", "Discount", "Article no."),
        ("{product} costs {price} a month.", "The offer ends on {date} at {time}.", "Members save {percent} on {product}.",
         "The balance of account {id} was {negative} that day.", "A parcel weighs at most {unit}."),
        ("Orders are packed by hand and are shipped on the next business day.",
         "Please keep the receipt, because the warranty does not hold without it."),
    ),
    Language(
        "de", ",.", ("{n} €", "EUR {n}", "CHF {n}"), ("{d}. {month} {y}", "{dd}.{mm}.{y}"), "{h}:{min} Uhr", "{n} %", WESTERN,
        ("Kaffeemühle Alba 2000", "Übergröße Rucksack", "Löffel & Gabel", "Tischlampe „Nord“", "Thermoskanne Weiß"),
        ("Küche", "Draußen", "Büro"), ("Produkt", "Gruppe", "Preis", "Gültig ab", "Rabatt", "Artikelnr."),
        ("{product} kostet {price} im Monat.", "Das Angebot endet am {date} um {time}.",
         "Mitglieder sparen {percent} bei {product}.", "Der Saldo des Kontos {id} betrug an dem Tag {negative}.",
         "Ein Paket wiegt höchstens {unit}."),
        ("Bestellungen werden von Hand verpackt und verlassen das Haus am nächsten Werktag.",
         "Bitte heben Sie den Beleg auf, denn ohne ihn gilt die Gewährleistung nicht."),
        "Am {date} um {time} schrieb Ana Silva <ana@example.com>:",
    ),
    Language(
        "fr", ",\u202f", ("{n}\u00a0€", "{n} CHF"), ("{d} {month} {y}", "{dd}/{mm}/{y}"), "{h}\u00a0h\u00a0{min}", "{n}\u00a0%", WESTERN,
        ("Moulin à café Alba 2000", "Sac à dos Été", "Cuillère & fourchette", "Lampe « Nord »", "Bouteille d’eau"),
        ("Cuisine", "Extérieur", "Bureau"), ("Produit", "Groupe", "Prix", "Valable dès le", "Remise", "Réf."),
        ("{product} coûte {price} par mois.", "L’offre se termine le {date} à {time}.",
         "Les membres économisent {percent} sur {product}.", "Le solde du compte {id} était de {negative} ce jour-là.",
         "Un colis pèse au plus {unit}."),
        ("Les commandes sont emballées à la main et partent le jour ouvré suivant.",
         "Veuillez conserver le reçu, car la garantie n’est pas valable sans lui."),
        "Le {date} à {time}, Ana Silva <ana@example.com> a écrit :",
    ),
    Language(
        "es", ",.", ("{n} €", "MXN {n}"), ("{d} de {month} de {y}", "{dd}/{mm}/{y}"), "{h}:{min}", "{n} %", WESTERN,
        ("Molinillo de café Alba 2000", "Mochila Otoño", "Cuchara y tenedor", "Lámpara «Norte»", "Señal luminosa"),
        ("Cocina", "Exterior", "Oficina"), ("Producto", "Grupo", "Precio", "Válido desde", "Descuento", "Artículo"),
        ("{product} cuesta {price} al mes.", "La oferta termina el {date} a las {time}.",
         "Los socios ahorran {percent} en {product}.", "El saldo de la cuenta {id} era de {negative} ese día.",
         "Un paquete pesa como máximo {unit}."),
        ("Los pedidos se embalan a mano y salen el siguiente día hábil.",
         "Guarde el recibo, porque sin él la garantía no es válida."),
        "El {date} a las {time}, Ana Silva <ana@example.com> escribió:",
    ),
    Language(
        "it", ",.", ("{n} €", "€ {n}"), ("{d} {month} {y}", "{dd}/{mm}/{y}"), "{h}:{min}", "{n}%", WESTERN,
        ("Macinacaffè Alba 2000", "Zaino Età", "Cucchiaio & forchetta", "Lampada «Nord»", "Borraccia d’acqua"),
        ("Cucina", "Esterno", "Ufficio"), ("Prodotto", "Gruppo", "Prezzo", "Valido dal", "Sconto", "Articolo"),
        ("{product} costa {price} al mese.", "L’offerta termina il {date} alle {time}.",
         "I soci risparmiano {percent} su {product}.", "Il saldo del conto {id} era di {negative} quel giorno.",
         "Un pacco pesa al massimo {unit}."),
        ("Gli ordini vengono imballati a mano e partono il giorno lavorativo successivo.",
         "Conservi la ricevuta, perché senza di essa la garanzia non è valida."),
        "Il {date} alle {time} Ana Silva <ana@example.com> ha scritto:",
    ),
    Language(
        "pt", ",.", ("R$ {n}", "{n} €"), ("{d} de {month} de {y}", "{dd}/{mm}/{y}"), "{h}h{min}", "{n}%", WESTERN,
        ("Moinho de café Alba 2000", "Mochila Verão", "Colher e garfo", "Lâmpada “Norte”", "Garrafa d'água"),
        ("Cozinha", "Exterior", "Escritório"), ("Produto", "Grupo", "Preço", "Válido desde", "Desconto", "Artigo"),
        ("{product} custa {price} por mês.", "A oferta termina em {date} às {time}.",
         "Os sócios poupam {percent} em {product}.", "O saldo da conta {id} era de {negative} nesse dia.",
         "Uma encomenda pesa no máximo {unit}."),
        ("As encomendas são embaladas à mão e saem no dia útil seguinte.",
         "Guarde o recibo, porque sem ele a garantia não é válida."),
        "Em {date} às {time}, Ana Silva <ana@example.com> escreveu:",
    ),
    Language(
        "nl", ",.", ("€ {n}", "EUR {n}"), ("{d} {month} {y}", "{dd}-{mm}-{y}"), "{h}.{min} uur", "{n}%", WESTERN,
        ("Koffiemolen Alba 2000", "Rugzak Patiënt", "Lepel & vork", "Lamp ‘Noord’", "Fles zeeën"),
        ("Keuken", "Buiten", "Kantoor"), ("Product", "Groep", "Prijs", "Geldig vanaf", "Korting", "Artikelnr."),
        ("{product} kost {price} per maand.", "De aanbieding eindigt op {date} om {time}.",
         "Leden besparen {percent} op {product}.", "Het saldo van rekening {id} was die dag {negative}.",
         "Een pakket weegt hoogstens {unit}."),
        ("Bestellingen worden met de hand ingepakt en vertrekken de volgende werkdag.",
         "Bewaar de bon, want zonder bon geldt de garantie niet."),
        "Op {date} om {time} schreef Ana Silva <ana@example.com>:",
    ),
    Language(
        "pl", ",\u00a0", ("{n} zł", "{n} PLN"), ("{d} {month} {y}", "{dd}.{mm}.{y}"), "{h}:{min}", "{n}%", ("cp1250", "iso-8859-2"),
        ("Młynek do kawy Alba 2000", "Plecak Źródło", "Łyżka i widelec", "Lampa „Północ”", "Butelka na wodę"),
        ("Kuchnia", "Na zewnątrz", "Biuro"), ("Produkt", "Grupa", "Cena", "Ważne od", "Zniżka", "Nr artykułu"),
        ("{product} kosztuje {price} miesięcznie.", "Oferta kończy się {date} o {time}.",
         "Członkowie oszczędzają {percent} na {product}.", "Saldo konta {id} wynosiło tego dnia {negative}.",
         "Paczka waży najwyżej {unit}."),
        ("Zamówienia są pakowane ręcznie i wychodzą następnego dnia roboczego.",
         "Proszę zachować paragon, ponieważ bez niego gwarancja nie obowiązuje."),
    ),
    Language(
        "ru", ",\u00a0", ("{n} ₽", "{n} руб."), ("{d} {month} {y} г.", "{dd}.{mm}.{y}"), "{h}:{min}", "{n} %", ("cp1251", "koi8-r"),
        ("Кофемолка Альба 2000", "Рюкзак Ёж", "Ложка и вилка", "Лампа «Север»", "Бутылка для воды"),
        ("Кухня", "Улица", "Офис"), ("Товар", "Группа", "Цена", "Действует с", "Скидка", "Артикул"),
        ("{product} стоит {price} в месяц.", "Предложение заканчивается {date} в {time}.",
         "Участники экономят {percent} на товаре {product}.", "Баланс счёта {id} в тот день был {negative}.",
         "Посылка весит не более {unit}."),
        ("Заказы упаковываются вручную и отправляются на следующий рабочий день.",
         "Сохраните чек, потому что без него гарантия не действует."),
    ),
    Language(
        "zh", ".,", ("¥{n}", "{n}元"), ("{y}年{m}月{d}日", "{y}-{mm}-{dd}"), "{h}:{min}", "{n}%", ("gb18030", "gbk"),
        ("咖啡研磨机 Alba 2000", "登山背包", "勺子和叉子", "台灯“北方”", "保温杯"), ("厨房", "户外", "办公"),
        ("产品", "类别", "价格", "生效日期", "折扣", "货号"),
        ("{product}每月收费{price}。", "优惠将于{date}{time}结束。", "会员购买{product}可节省{percent}。",
         "账户{id}当天的余额为{negative}。", "每个包裹最重{unit}。"),
        ("所有订单均由人工包装，并在下一个工作日发出。", "请保留好收据，没有收据不能享受保修服务。"),
    ),
    Language(
        "ja", ".,", ("￥{n}", "{n}円"), ("{y}年{m}月{d}日", "{y}/{mm}/{dd}"), "{h}時{min}分", "{n}％", ("shift_jis", "euc-jp"),
        ("コーヒーミル Alba 2000", "登山用リュック", "スプーンとフォーク", "ランプ「北」", "保温ボトル"),
        ("キッチン", "アウトドア", "オフィス"), ("商品", "分類", "価格", "適用日", "割引", "品番"),
        ("{product}は毎月{price}です。", "キャンペーンは{date}の{time}に終了します。", "会員は{product}が{percent}引きになります。",
         "口座{id}のその日の残高は{negative}でした。", "荷物の重さは{unit}までです。"),
        ("ご注文の品は手作業で梱包し、翌営業日に発送いたします。", "レシートがないと保証を受けられませんので、保管してください。"),
    ),
    Language(
        "ar", ".,", ("{n} ر.س", "{n} درهم"), ("{d} {month} {y}", "{y}/{mm}/{dd}"), "{h}:{min}", "{n}%", ("cp1256",),
        ("مطحنة قهوة ألبا 2000", "حقيبة ظهر", "ملعقة وشوكة", "مصباح الشمال", "زجاجة ماء"), ("المطبخ", "الخارج", "المكتب"),
        ("المنتج", "المجموعة", "السعر", "ساري من", "الخصم", "رقم الصنف"),
        ("يكلف {product} {price} شهريا.", "ينتهي العرض في {date} الساعة {time}.", "يوفر الأعضاء {percent} على {product}.",
         "كان رصيد الحساب {id} في ذلك اليوم {negative}.", "لا يزيد وزن الطرد عن {unit}."),
        ("يتم تغليف الطلبات يدويا وتغادر في يوم العمل التالي.", "يرجى الاحتفاظ بالإيصال لأن الضمان لا يسري بدونه."),
    ),
)  # fmt: skip
LANGUAGES = {language.code: language for language in ALL}
