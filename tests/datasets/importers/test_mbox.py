"""Mailboxes as programs write them: separators, quotations, encodings, threads, and what machines send."""

import json
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

import pytest

from inhouse.datasets.importers.run import import_files
from inhouse.errors import InputError
from inhouse.text.mail import reply_content

ANN, SHOP = "Ann Lee <ann@bakery.example>", "Tom Okafor <help@shop.example>"
START = datetime(2024, 3, 4, 8, 30, tzinfo=UTC)
MESSAGES = [("user", "Does it fit?"), ("assistant", "Yes, it fits."), ("user", "Thank you!")]


def mail(n, sender, text, subject="Belt", parent=(), **headers):
    """A mail of the n-th minute; headers with underscores for hyphens replace those that it has."""
    message = EmailMessage()
    given = {
        "From": sender, "To": SHOP if sender == ANN else ANN, "Subject": subject if n == 0 else f"Re: {subject}",
        "Date": format_datetime(START + timedelta(minutes=n)), "Message-ID": f"<{n}@mail.example>",
        "In-Reply-To": parent and f"<{parent[-1]}@mail.example>", "References": " ".join(f"<{p}@mail.example>" for p in parent),
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }  # fmt: skip
    for name, value in given.items():
        if value:
            message[name] = value
    message.set_content(text)
    return message


def thread(**more):
    return [
        mail(0, ANN, "Does it fit?\n", **more),
        mail(1, SHOP, "Yes, it fits.\n", parent=(0,), **more),
        mail(2, ANN, "Thank you!\n", parent=(0, 1), **more),
    ]


def mbox(mails, separator="From ann@bakery.example Mon Mar  4 08:30:00 2024", end="\n", length=False, quote=True):
    out = b""
    for m in mails:
        raw = m if isinstance(m, bytes) else m.as_bytes()
        head, _, body = raw.partition(b"\n\n")
        if quote:
            body = b"\n".join(
                b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in body.split(b"\n")
            )
        if length:
            head += f"\nContent-Length: {len(body)}".encode()
        out += f"{separator}\n".encode() + head + b"\n\n" + body + b"\n"
    return out.replace(b"\n", end.encode())


def imported(tmp_path, data, *staff, name="support.mbox"):
    (tmp_path / name).write_bytes(data)
    summary = import_files("", [tmp_path / name], tmp_path / "out.jsonl", staff or ["shop.example"])
    return summary, [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def turns(row):
    return [(m["role"], m["content"]) for m in row["messages"]]


@pytest.mark.parametrize(
    "separator",
    ["From ann@bakery.example Mon Mar  4 08:30:00 2024", "From - Mon Mar 04 08:30:00 2024",
     "From 1792530000000000001@xxx Mon Mar 04 08:30:00 +0000 2024", "From MAILER-DAEMON Mon Mar  4 08:30:00 2024",
     "From ann@bakery.example  Mon Mar  4 08:30:00 CET 2024", "From \"Ann Lee\" Mon Mar  4 08:30:00 2024", "From nobody"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_separators(separator, end, tmp_path):
    summary, [row] = imported(tmp_path, mbox(thread(), separator, end))
    assert turns(row) == MESSAGES
    assert row["id"] == "<0@mail.example>"
    assert row["time"] == "2024-03-04T08:30:00Z"
    assert row["metadata"]["agents"] == ["Tom Okafor"]
    assert summary.notes == ("this looks like a mailbox export: imported as mbox",)
    assert not summary.messages_left_out


BODY = "From here on:\n\nFrom now it is quoted.\n>From a reply.\nFrom: is no header.\n"


@pytest.mark.parametrize(("length", "quote"), [(False, True), (True, True), (True, False)], ids=["rd", "cl", "cl2"])
def test_lines_that_begin_with_from_come_back(length, quote, tmp_path):
    first = mail(0, ANN, BODY)
    _, [row] = imported(tmp_path, mbox([first, *thread()[1:]], length=length, quote=quote))
    said = turns(row)[0][1]
    assert said.startswith("From here on:\n\nFrom now it is quoted.")
    assert said.endswith("From: is no header.")
    assert turns(row)[1:] == MESSAGES[1:]


def test_an_unquoted_line_from_does_not_split_a_mail(tmp_path):
    _, [row] = imported(
        tmp_path, mbox([mail(0, ANN, "Hello,\n\nFrom 4 March on it squeals.\nAnd more.\n"), *thread()[1:]], quote=False)
    )
    assert turns(row)[0] == ("user", "Hello,\n\nFrom 4 March on it squeals.\nAnd more.")


def test_a_wrong_length_is_not_believed(tmp_path):
    data = mbox(thread()).replace(b"Content-Transfer-Encoding", b"Content-Length: 3000\nContent-Transfer-Encoding")
    _, [row] = imported(tmp_path, data)
    assert turns(row) == MESSAGES


@pytest.mark.parametrize(
    ("charset", "encoding", "text"),
    [
        ("utf-8", "8bit", "Passt er? Größe 40 – 5 €"), ("utf-8", "quoted-printable", "Größe 40 – 5 €"),
        ("utf-8", "base64", "Größe 40 – 5 €"), ("iso-8859-1", "quoted-printable", "Größe 40, café"),
        ("iso-8859-1", "8bit", "Größe 40, café"), ("windows-1252", "8bit", "Größe 40 – 5 €"),
        ("iso-8859-15", "quoted-printable", "Größe 40, 5 €"), ("iso-8859-2", "8bit", "Żółta łódź"),
        ("windows-1250", "base64", "Žluťoučký kůň"), ("koi8-r", "8bit", "Подходит ли ремень?"),
        ("windows-1251", "quoted-printable", "Подходит ли ремень?"), ("iso-2022-jp", "7bit", "ベルトは合いますか？"),
        ("shift_jis", "base64", "ベルトは合いますか？"), ("gb2312", "base64", "皮带合适吗？"), ("gb18030", "8bit", "皮带合适吗？"),
        ("big5", "base64", "皮帶合適嗎？"), ("euc-kr", "base64", "벨트가 맞나요?"), ("us-ascii", "7bit", "Fits?"),
        ("us-ascii", "8bit", "Größe 40"),
    ],
)  # fmt: skip
def test_charsets(charset, encoding, text, tmp_path):
    import base64
    import quopri

    data = text.encode("utf-8" if charset == "us-ascii" else charset)
    body = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, lambda d: d)(data)
    head = mail(0, ANN, "x").as_bytes().partition(b"\n\n")[0]
    kept = [h for h in head.split(b"\n") if not h.startswith(b"Content-")]
    kept += [
        f'Content-Type: text/plain; charset="{charset}"'.encode(),
        f"Content-Transfer-Encoding: {encoding}".encode(),
    ]
    _, [row] = imported(tmp_path, mbox([b"\n".join(kept) + b"\n\n" + body + b"\n", *thread()[1:]]))
    assert turns(row)[0] == ("user", text)


@pytest.mark.parametrize("name", ["=?utf-8?q?Luc=C3=ADa_N=C3=BA=C3=B1ez?=", "=?ISO-8859-1?B?THVj7WEgTvrxZXo=?=", "Lucía Núñez",
                                  '"Lucía Núñez"', "=?utf-8?q?Luc=C3=ADa?= =?utf-8?q?_N=C3=BA=C3=B1ez?="])  # fmt: skip
def test_names_of_agents(name, tmp_path):
    raw = thread()[1].as_bytes().replace(b"Tom Okafor", name.encode(), 1)
    _, [row] = imported(tmp_path, mbox([thread()[0], raw]))
    assert row["metadata"]["agents"] == ["Lucía Núñez"]


def test_html_alone_and_alternatives(tmp_path):
    rich = mail(0, ANN, "")
    rich.set_content("<html><style>p{}</style><p>Does it</p><p>fit?</p></html>", subtype="html")
    both = mail(1, SHOP, "Yes, it fits.\n", parent=(0,))
    both.add_alternative("<p>Yes, it <b>fits</b>.</p>", subtype="html")
    both.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Größe.pdf")
    empty = mail(2, ANN, "\n", parent=(0, 1))
    empty.add_alternative(
        "<div>Thank you!</div><div class='gmail_quote'>On Mon, 4 Mar 2024 at 8:40 Tom wrote:<blockquote>old</blockquote></div>",
        subtype="html",
    )
    _, [row] = imported(tmp_path, mbox([rich, both, empty]))
    assert turns(row) == [("user", "Does it\n\nfit?"), ("assistant", "Yes, it fits."), ("user", "Thank you!")]
    assert row["metadata"]["attachments"] == ["Größe.pdf"]


def test_a_plain_part_that_only_names_the_other(tmp_path):
    stub = mail(0, ANN, "This message needs an HTML viewer.\n")
    stub.add_alternative(f"<p>Does it fit?</p><p>{'The mixer is an SM-40. ' * 9}</p>", subtype="html")
    _, [row] = imported(tmp_path, mbox([stub, *thread()[1:]]))
    assert turns(row)[0][1].startswith("Does it fit?\n\nThe mixer is")


def test_flowed_paragraphs_are_whole(tmp_path):
    text = "The belt of our mixer \nsqueals when it runs \non speed 2.\n\nDoes it fit?\n-- \nAnn\n"
    head = (
        mail(0, ANN, "x")
        .as_bytes()
        .partition(b"\n\n")[0]
        .replace(b'charset="utf-8"', b'charset="utf-8"; format=flowed')
    )
    _, [row] = imported(tmp_path, mbox([head + b"\n\n" + text.encode(), *thread()[1:]]))
    assert turns(row)[0][1] == "The belt of our mixer squeals when it runs on speed 2.\n\nDoes it fit?"


def test_threads_in_any_order(tmp_path):
    other = [mail(10, ANN, "How much?", "Price", Message_ID="<p@mail.example>"),
             mail(11, SHOP, "$4.", "Price", In_Reply_To="<p@mail.example>")]  # fmt: skip
    both = [thread()[2], other[1], thread()[0], other[0], thread()[1]]
    _, rows = imported(tmp_path, mbox(both))
    assert [turns(r) for r in rows] == [MESSAGES, [("user", "How much?"), ("assistant", "$4.")]]


def test_a_thread_whose_middle_is_missing(tmp_path):
    _, [row] = imported(tmp_path, mbox([thread()[0], mail(2, SHOP, "It fits.", parent=(0, 1))]))
    assert turns(row) == [("user", "Does it fit?"), ("assistant", "It fits.")]


@pytest.mark.parametrize("reply", ["Re: Belt", "RE: Belt", "AW: Belt", "Antw: Belt", "SV: Belt", "Re: RE: Belt", "Re[2]: Belt",
                                   "RV: Belt", "回复：Belt", "TR: Belt", "Odp: Belt"])  # fmt: skip
def test_replies_without_references_by_subject(reply, tmp_path):
    mails = [
        mail(0, ANN, "Does it fit?"),
        mail(1, SHOP, "Yes, it fits.", Subject=reply),
        mail(2, ANN, "Thank you!", Subject=reply),
    ]
    _, [row] = imported(tmp_path, mbox(mails))
    assert turns(row) == MESSAGES


def test_equal_subjects_of_different_people_are_different_threads(tmp_path):
    bob = "Bob <bob@cafe.example>"
    mails = [
        *thread(),
        mail(5, bob, "And mine?", Subject="Belt", To=SHOP),
        mail(6, SHOP, "No.", To=bob, Subject="Re: Belt"),
    ]
    _, rows = imported(tmp_path, mbox(mails))
    assert [turns(r) for r in rows] == [MESSAGES, [("user", "And mine?"), ("assistant", "No.")]]


@pytest.mark.parametrize(
    "headers",
    [{"Auto_Submitted": "auto-replied"}, {"Auto_Submitted": "auto-generated (rejected)"}, {"X_Autoreply": "yes"},
     {"Precedence": "auto_reply"}, {"From": "MAILER-DAEMON@mail.example"}, {"X_Gmail_Labels": "Spam,Unread"},
     {"X_Gmail_Labels": "Drafts"}, {"X_Spam_Flag": "YES"}],
)  # fmt: skip
def test_what_machines_send_is_left_out(headers, tmp_path):
    machine = mail(3, SHOP, "We are out of office.", parent=(0,), **headers)
    summary, [row] = imported(tmp_path, mbox([*thread(), machine]))
    assert turns(row) == MESSAGES
    assert sum(summary.messages_left_out.values()) == 1


@pytest.mark.parametrize(
    "headers", [{"Auto_Submitted": "no"}, {"X_Gmail_Labels": "Inbox,Sent"}, {"Precedence": "bulk"}]
)
def test_what_people_send_stays(headers, tmp_path):
    _, [row] = imported(tmp_path, mbox([*thread(), mail(3, SHOP, "Anything else?", parent=(0,), **headers)]))
    assert turns(row)[-1] == ("assistant", "Anything else?")


def test_copies_are_read_once(tmp_path):
    summary, [row] = imported(tmp_path, mbox([*thread(), thread()[1]]))
    assert turns(row) == MESSAGES
    assert any("read once: 1" in n for n in summary.notes)


def test_times_are_in_utc(tmp_path):
    mails = thread()
    mails[0].replace_header("Date", "Mon, 4 Mar 2024 17:30:00 +0900")
    mails[1].replace_header("Date", "Mon, 4 Mar 2024 03:45:00 -0500 (EST)")
    _, [row] = imported(tmp_path, mbox(mails[:2]))
    assert row["metadata"]["times"] == ["2024-03-04T08:30:00Z", "2024-03-04T08:45:00Z"]


def test_mails_in_files(tmp_path):
    folder = tmp_path / "mails"
    folder.mkdir()
    for n, m in enumerate(thread()):
        (folder / f"{n}.eml").write_bytes(m.as_bytes())
    import_files("", [folder], tmp_path / "out.jsonl", ["shop.example"])
    assert turns(json.loads((tmp_path / "out.jsonl").read_text())) == MESSAGES


def test_staff_is_the_domain_that_every_mail_is_from_or_to(tmp_path):
    bob = [mail(5, "Bob <bob@cafe.example>", "Mine?", "Oven", To=SHOP, Message_ID="<b@x.example>")]
    (tmp_path / "m.mbox").write_bytes(mbox([*thread(), *bob]))
    summary = import_files("mbox", [tmp_path / "m.mbox"], tmp_path / "out.jsonl")
    assert any("staff are taken to be shop.example" in n for n in summary.notes)
    (tmp_path / "m.mbox").write_bytes(mbox(thread()))
    with pytest.raises(InputError, match="does not say who is staff") as error:
        import_files("mbox", [tmp_path / "m.mbox"], tmp_path / "out.jsonl")
    assert "ann@bakery.example 2; help@shop.example 1" in error.value.hint


NEW = "Two, please.\n\nTo the usual address."


@pytest.mark.parametrize(
    "quoted",
    [
        "On Mon, 4 Mar 2024 at 08:52, Tom Okafor <help@shop.example> wrote:\n> It fits.\n>\n> Tom",
        "On Mon, 4 Mar 2024 at 08:52, Tom Okafor <help@shop.example>\nwrote:\n> It fits.",
        "Am Mo., 4. März 2024 um 08:52 Uhr schrieb Tom <help@shop.example>:\n> It fits.",
        "Le lun. 4 mars 2024 à 08:52, Tom <help@shop.example> a écrit :\n> It fits.",
        "El lun, 4 mar 2024 a las 8:52, Tom (<help@shop.example>) escribió:\n> It fits.",
        "Il giorno lun 4 mar 2024 alle ore 08:52 Tom <help@shop.example> ha scritto:\n> It fits.",
        "Em seg., 4 de mar. de 2024 às 08:52, Tom <help@shop.example> escreveu:\n> It fits.",
        "Op ma 4 mrt 2024 om 08:52 schreef Tom <help@shop.example>:\n> It fits.",
        "W dniu 4.03.2024 o 08:52, Tom <help@shop.example> pisze:\n> It fits.",
        "Den mån 4 mars 2024 kl 08:52 skrev Tom <help@shop.example>:\n> It fits.",
        "пн, 4 мар. 2024 г. в 08:52, Tom <help@shop.example>:\n> It fits.",
        "2024年3月4日(月) 8:52 Tom <help@shop.example>:\n> It fits.",
        "4 Mar 2024 Pzt 08:52 tarihinde Tom <help@shop.example> şunu yazdı:\n> It fits.",
        "-----Original Message-----\nFrom: Tom <help@shop.example>\nSent: Monday, 4 March 2024 08:52\nTo: Ann\nSubject: RE: Belt\n\nIt fits.",
        "-----Ursprüngliche Nachricht-----\nVon: Tom <help@shop.example>\nGesendet: Montag, 4. März 2024 08:52\nAn: Ann\nBetreff: AW: Belt\n\nIt fits.",
        "________________________________\nFrom: Tom <help@shop.example>\nSent: Monday, March 4, 2024 8:52 AM\nTo: Ann\nSubject: Re: Belt\n\nIt fits.",
        "From: Tom <help@shop.example>\nDate: Monday, 4 March 2024 at 08:52\nTo: Ann\nSubject: Re: Belt\n\nIt fits.",
        "-- \nAnn Lee\nBakery\n+44 20 7946 0000",
        "--\nAnn Lee",
        "Sent from my iPhone",
        "-- \nAnn Lee\n\nOn Mon, 4 Mar 2024 at 08:52, Tom <help@shop.example> wrote:\n> It fits.",
        "> It fits.\n> Tom",
    ],
    ids=range(22),
)  # fmt: skip
def test_older_mails_and_signatures_go(quoted):
    assert reply_content(f"{NEW}\n\n{quoted}\n") == NEW


@pytest.mark.parametrize("wrote", ["On Mon, 4 Mar 2024 at 08:52, Tom wrote:", "W dniu 4.03.2024 o 08:52, Tom <help@shop.example> pisze:",
                                   "пн, 4 мар. 2024 г. в 08:52,\nTom <help@shop.example>:"])  # fmt: skip
def test_text_right_above_a_quotation_stays(wrote):
    assert reply_content(f"Two belts, please.\nAnd a blade.\n{wrote}\n> It fits.") == "Two belts, please.\nAnd a blade."


def test_answers_below_and_between_quotations_stay():
    head = "On Mon, 4 Mar 2024 at 08:52, Tom <help@shop.example> wrote:\n"
    assert reply_content(f"{head}> It fits.\n\nTwo, please.") == "Two, please."
    assert reply_content(f"{head}> Which belt?\nB-40\n> How many?\nTwo") == "B-40\nTwo"


@pytest.mark.parametrize(
    "text", ["It costs:\n- $4", "> 10 mm is too much", "From 8 to 10:\nopen", "5 > 4", "Dear Tom,\n\nOn Monday: no."]
)
def test_what_only_looks_quoted_stays(text):
    assert reply_content(text) == text


def test_an_answer_without_a_word_is_empty():
    assert reply_content("On Mon, 4 Mar 2024 at 08:52, Tom <help@shop.example> wrote:\n> It fits.") == ""


def test_a_mail_that_only_forwards_keeps_that():
    text = "---------- Forwarded message ---------\nFrom: Bob <b@x.example>\nDate: Mon, 4 Mar 2024 at 08:52\nSubject: Belt\nTo: Ann\n\nDoes it fit?"
    assert reply_content(text) == "Does it fit?"


@pytest.mark.parametrize(
    "piece", ["> a\n", ">\n", "> " * 3, "On 4 Mar 8:30 a@b wrote:\n", "a:\n", "--\n", "From: a\n", "\n"]
)
def test_time_is_linear(piece, takes_linear_time):
    assert takes_linear_time(reply_content, lambda n: piece * n, 400)


def turns_of(tmp_path, mails, *staff):
    (tmp_path / "a.mbox").write_bytes(mbox(mails))
    out = tmp_path / "out.jsonl"
    summary = import_files("", [tmp_path / "a.mbox"], out, staff)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return summary, [[(m["role"], m["content"]) for m in r["messages"]] for r in rows]


@pytest.mark.parametrize(
    "subject",
    ["Automatic reply: Belt", "Re: Out of Office: Belt", "Abwesenheitsnotiz: Belt", "Automatische Antwort: Belt",
     "Réponse automatique : Belt", "Respuesta automática: Belt", "Risposta automatica: Belt", "自动回复: Belt",
     "自動応答：Belt", "Resposta automática: Belt", "Automatisch antwoord: Belt", "Autosvar: Belt"],
)  # fmt: skip
def test_automatic_replies_are_told_by_their_subject(tmp_path, subject):
    away = mail(3, SHOP, "I am away.\n", parent=(0,), Subject=subject)
    summary, found = turns_of(tmp_path, [*thread(), away], "shop.example")
    assert (found, summary.messages_left_out) == ([MESSAGES], {"automatic message": 1})


def test_mails_among_staff_are_no_replies(tmp_path):
    asked = mail(1, SHOP, "What do we tell her? Margin 40 %.\n", parent=(0,), To="dirk@shop.example")
    told = mail(2, "Dirk <dirk@shop.example>", "Say yes.\n", parent=(0, 1), To=SHOP)
    mails = [mail(0, ANN, "Does it fit?\n"), asked, told, mail(3, SHOP, "Yes, it fits.\n", parent=(0,))]
    summary, found = turns_of(tmp_path, mails)
    assert (found, summary.messages_left_out) == ([MESSAGES[:2]], {"internal note": 2})


def test_a_list_of_staff_is_no_talk_among_staff(tmp_path):
    answer = mail(1, SHOP, "Yes, it fits.\n", parent=(0,), To="list@shop.example", List_Id="<list.shop.example>")
    assert turns_of(tmp_path, [mail(0, ANN, "Does it fit?\n"), answer], "shop.example")[1] == [MESSAGES[:2]]


def test_a_form_of_the_website_is_the_customers(tmp_path):
    form = mail(0, "Form <noreply@shop.example>", "Does it fit?\n", To=SHOP, Reply_To="Ann <ann@gmail.com>")
    summary, found = turns_of(tmp_path, [form, mail(1, SHOP, "Yes, it fits.\n", parent=(0,), To="ann@gmail.com")])
    assert found == [MESSAGES[:2]]
    assert any("as of a form" in note for note in summary.notes)


def test_answers_with_another_reply_address_stay_those_of_staff(tmp_path):
    answer = mail(1, SHOP, "Yes, it fits.\n", parent=(0,), Reply_To="ticket-1@desk.example")
    assert turns_of(tmp_path, [mail(0, ANN, "Does it fit?\n"), answer], "shop.example")[1] == [MESSAGES[:2]]


def test_one_customer_at_a_public_provider_is_told_from_the_business(tmp_path):
    ann = "Ann <ann@gmail.com>"
    mails = [mail(0, ann, "Does it fit?\n", To=SHOP), mail(1, SHOP, "Yes, it fits.\n", parent=(0,), To=ann)]
    assert turns_of(tmp_path, mails)[1] == [MESSAGES[:2]]


def test_staff_alone_is_not_called_a_wrong_name(tmp_path):
    with pytest.raises(InputError) as error:
        turns_of(tmp_path, [mail(0, SHOP, "News\n")], "shop.example")
    assert "matches nobody" not in error.value.hint


@pytest.mark.parametrize(
    "footer",
    [
        "_____________________\nsupport mailing list\nsupport@lists.example\nhttps://lists.example/support",
        "This e-mail and any attachments are confidential and intended solely for the addressee.\nPlease tell us.",
        "CONFIDENTIALITY NOTICE: This message is privileged.\n\nIf you received it in error, delete it now.",
        "Diese E-Mail enthält vertrauliche Informationen.",
        "Ce message est confidentiel.",
        "Este mensaje es confidencial.",
        "This email is a service from Shop. Delivered by Zendesk",
    ],
)
def test_footers_of_lists_and_of_legal_departments_are_no_content(footer):
    assert reply_content(f"Yes, it fits.\n\n{footer}\n") == "Yes, it fits."


@pytest.mark.parametrize(
    "text",
    [
        "This message is confidential: my PIN is lost.",
        "Hello,\n\nThis message is confidential.\n\nDoes the belt fit?",
        "Hello,\n\nThis e-mail address is new.",
        "Yes.\n\n____________________\nTotal: $89",
    ],
)
def test_content_that_looks_like_a_footer_stays(text):
    assert reply_content(text) == text
