"""Mails as mail programs write them: all text once, whatever the encoding says; what is not read is named."""

import struct
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from inhouse.documents.mail import _unpacked
from inhouse.documents.parse import parse
from inhouse.documents.parsed import Unreadable

HEAD = b"From: Ann <ann@bank.example>\r\nDate: Mon, 3 Mar 2025 10:00:00 +0000\r\n"


def raw(body, kind='text/plain; charset="utf-8"', transfer="8bit", subject=b"Fees"):
    head = b"Subject: " + subject + b"\r\nMIME-Version: 1.0\r\nContent-Type: " + kind.encode()
    return HEAD + head + b"\r\nContent-Transfer-Encoding: " + transfer.encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("data", "text", "note"),
    [
        (raw("Größe: 5 €".encode()), "Größe: 5 €", ""),
        (raw("Größe: 5 €".encode(), "text/plain"), "Größe: 5 €", ""),
        (raw("Größe: 5 €".encode("cp1252"), "text/plain"), "Größe: 5 €", "Windows-1252 (assumed)"),
        (raw("Größe: 5 €".encode("cp1252")), "Größe: 5 €", "Windows-1252 (assumed)"),
        (raw("Größe: 5 €".encode(), "text/plain; charset=iso-8859-1"), "Größe: 5 €", ""),
        (raw("It’s 5 €".encode("cp1252"), "text/plain; charset=iso-8859-1"), "It’s 5 €", ""),
        (raw("Größe: 5".encode(), "text/plain; charset=no-such"), "Größe: 5", ""),
        (raw("手数料は五千円です".encode("iso-2022-jp"), "text/plain; charset=iso-2022-jp", "7bit"), "手数料は五千円です", ""),
        (raw("手数料は五千円です".encode("cp932"), "text/plain"), "手数料は五千円です", "Shift-JIS (assumed)"),
        (raw("Комиссия за перевод".encode("koi8-r"), 'text/plain; charset="koi8-r"'), "Комиссия за перевод", ""),
        (raw(b"Gr=C3=B6=C3=9Fe: 5 =E2=82=AC=\r\n a day", transfer="quoted-printable"), "Größe: 5 € a day", ""),
        (raw(b"R3LDtsOfZTogNSDigqw=\r\n", transfer="base64"), "Größe: 5 €", ""),
        (b"\xef\xbb\xbf" + raw(b"Text 5"), "Text 5", ""),
        (raw(b"\xef\xbb\xbfText 5"), "Text 5", ""),
        (raw(b"Text 5").decode().encode("utf-16"), "Text 5", ""),
        (b"From ann Mon Mar  3 10:00:00 2025\n" + raw(b"Text 5"), "Text 5", ""),
        (b"\r\n\r\n" + raw(b"Text 5"), "Text 5", ""),
        (raw(b"A long \r\nline \r\nhere.\r\n>> quoted \r\n>> more\r\n-- \r\nAnn\r\n", "text/plain; format=flowed"),
         "A long line here.\n> > quoted more", ""),
        (raw(b"WW \r\nire \r\n", "text/plain; format=flowed; delsp=yes"), "WWire", ""),
        (raw("<p>Größe: 5 €".encode("cp1252"), "text/html"), "Größe: 5 €", "Windows-1252 (assumed)"),
        (raw("<meta charset=utf-8><p>Größe".encode("latin-1"), "text/html; charset=iso-8859-1"), "Größe", ""),
        (raw(b'<div style="display:none">preheader</div><table><tr><td><h2>Fees</h2>'
             b"<table><tr><th>A<th>B<tr><td colspan=2>5</table></td></tr></table>", "text/html"),
         "## Fees\n\n| A | B |\n| --- | --- |\n| 5 | 5 |", ""),
    ],
)  # fmt: skip
def test_bodies(data, text, note):
    parsed = parse(data, ".eml")
    assert parsed.text == f"# Fees\n\n{text}"
    assert note in parsed.note if note else not parsed.note


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        (b"=?utf-8?Q?Gr=C3=B6=C3?= =?utf-8?Q?=9Fe_5?=", "Größe 5"),
        (b"=?UTF-8?B?R3LDtsOfZQ==?=\r\n =?UTF-8?B?IDU=?=", "Größe 5"),
        ("Größe 5".encode(), "Größe 5"),
        ("Größe 5".encode("cp1252"), "Größe 5"),
        (b"Re: =?iso-8859-1?q?Gr=F6=DFe?= 5", "Re: Größe 5"),
        (b"=?gb2312?B?ytbQ+LfR?=", "手续费"),
    ],
)
def test_subjects(subject, title):
    assert parse(raw(b"Text", subject=subject), ".eml").title == title


def message(text="Hello.", subject="Fees"):
    made = EmailMessage(policy=SMTP)
    made["Subject"], made["From"] = subject, "Ann <ann@bank.example>"
    made.set_content(text)
    return made


def test_attached_mails_are_quoted_and_calendars_and_html_are_read():
    inner, outer = message("A wire costs $28.\n\nUntil 17:00.", "Old fees"), message("See below.")
    inner["Date"] = "Mon, 03 Mar 2025 10:00:00 +0000"
    outer.add_attachment(inner)
    outer.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Gebühren.pdf")
    outer.add_attachment(b"x", maintype="application", subtype="ms-tnef", filename="winmail.dat")
    parsed = parse(bytes(outer), ".eml")
    quoted = "> Attached e-mail: Old fees (Ann <ann@bank.example>, Mon, 03 Mar 2025 10:00:00 +0000)\n>\n> A wire costs $28.\n>\n> Until 17:00."
    assert parsed.text == f"# Fees\n\nSee below.\n\n{quoted}"
    assert "Gebühren.pdf" in parsed.note
    assert "winmail.dat (Outlook's own format" in parsed.note


def test_an_invitation_says_when_and_where():
    made = message("You are invited.")
    event = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Board\r\nDTSTART:20260503T090000Z\r\nLOCATION:Room 5\r\nEND:VEVENT\r\nEND:VCALENDAR"
    made.add_alternative(event, subtype="calendar")
    text = parse(bytes(made), ".eml").text
    assert text == "# Fees\n\nYou are invited.\n\n## Board\n\nStart: 2026-05-03 09:00 UTC\nPlace: Room 5"


@pytest.mark.parametrize(
    "stub",
    [
        "This message needs an HTML viewer.",
        "",
        " \n",
        "Please view this email in your browser: https://x.example/v?id=1",
    ],
)
def test_html_instead_of_a_stub(stub):
    made = message(stub)
    made.add_alternative("<p>A wire costs $28 in the country, and $45 abroad.</p>", subtype="html")
    assert parse(bytes(made), ".eml").text == "# Fees\n\nA wire costs $28 in the country, and $45 abroad."


def test_apple_mail():
    body = raw(b"A wire costs $28.")
    assert (
        parse(b"%d      \n" % len(body) + body + b'<?xml version="1.0"?><plist/>', ".emlx").text
        == "# Fees\n\nA wire costs $28."
    )


def test_a_mail_without_text_names_what_it_has():
    made = message("\n")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="fees.pdf")
    with pytest.raises(Unreadable, match="without text; attachments skipped: fees.pdf"):
        parse(bytes(made), ".eml")


def outlook(streams):
    """An OLE file of streams by path, as Outlook saves mails; each as long as streams outside of the mini stream are."""
    streams = {path: content.ljust(4096, b"\0") for path, content in streams.items()}
    paths = sorted({"/".join(p.split("/")[:i]) for p in streams for i in range(1, p.count("/") + 2)})
    entries, data, fat = [("Root Entry", 5, "", b"")], b"", []
    entries += [
        (p.rpartition("/")[2], 2 if p in streams else 1, p.rpartition("/")[0], streams.get(p, b"")) for p in paths
    ]
    kids = {}
    for number, path in enumerate(paths, start=1):
        kids.setdefault(path.rpartition("/")[0], []).append(number)
    directory = b""
    for number, (name, kind, parent, content) in enumerate(entries):
        siblings = kids.get(parent, [])
        right = next((n for n in siblings if n > number), 0xFFFFFFFF) if number else 0xFFFFFFFF
        child = kids.get(paths[number - 1] if number else "", [0xFFFFFFFF])[0]
        start = len(data) // 512 if content else 0xFFFFFFFE
        sectors = -(-len(content) // 512)
        fat += [start + i + 1 for i in range(sectors - 1)] + [0xFFFFFFFE] * bool(sectors)
        data += content.ljust(sectors * 512, b"\0")
        encoded = name.encode("utf-16-le")
        directory += struct.pack("<64sHBBIII16sI8s8sIQ", encoded, len(encoded) + 2, kind, 1, 0xFFFFFFFF, right, child,
                                 bytes(16), 0, bytes(8), bytes(8), start, len(content))  # fmt: skip
    directory = directory.ljust(-(-len(directory) // 512) * 512, b"\0")
    first = len(fat)
    fat += [first + i + 1 for i in range(len(directory) // 512 - 1)] + [0xFFFFFFFE]
    fat += [0xFFFFFFFD]
    assert len(fat) <= 128
    header = struct.pack("<8s16sHHHHH6sIIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 0x3E, 3, 0xFFFE, 9, 6, bytes(6),
                         0, 1, first, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, len(fat) - 1)  # fmt: skip
    header = header.ljust(512, b"\xff")
    return header + data + directory + struct.pack(f"<{len(fat)}I", *fat).ljust(512, b"\xff")


def stored(codepage=1252, header=32):
    sent = struct.pack("<II8s", 0x00390040, 6, struct.pack("<Q", 133854696000000000))
    return bytes(header) + sent + struct.pack("<II8s", 0x3FFD0003, 6, struct.pack("<Q", codepage))


def unicode(**properties):
    return {f"__substg1.0_{number[1:]}001F": text.encode("utf-16-le") for number, text in properties.items()}


def test_outlook_mails():
    name = {"__properties_version1.0": stored()}
    inner = unicode(_0037="Old fees", _1000="A card costs $5.\r\n", _0C1A="Bob") | {
        "__properties_version1.0": stored(header=24)
    }
    attached = unicode(_3707="fees.pdf") | {"__properties_version1.0": bytes(8), "__substg1.0_37010102": b"%PDF"}
    files = {f"__attach_version1.0_#00000000/{k}": v for k, v in attached.items()}
    files |= {f"__attach_version1.0_#00000001/__substg1.0_3701000D/{k}": v for k, v in inner.items()}
    data = outlook(name | files | unicode(_0037="Fees", _1000="Größe 5 €.\r\n", _0C1A="Ann", _5D01="ann@bank.example"))
    parsed = parse(data, ".msg")
    quoted = "> Attached e-mail: Old fees (Bob, Mon, 03 Mar 2025 10:00:00 +0000)\n>\n> A card costs $5."
    assert parsed.text == f"# Fees\n\nGröße 5 €.\n\n{quoted}"
    assert parsed.meta == {"from": "Ann <ann@bank.example>", "date": "Mon, 03 Mar 2025 10:00:00 +0000"}
    assert parsed.note == "attachments skipped: fees.pdf"


def test_outlook_mails_of_old_versions_and_in_html_or_rtf():
    old = {
        "__properties_version1.0": stored(1251),
        "__substg1.0_0037001E": b"Fees",
        "__substg1.0_1000001E": "Комиссия 5".encode("cp1251"),
    }
    assert parse(outlook(old), ".msg").text == "# Fees\n\nКомиссия 5"
    html = {"__properties_version1.0": stored(), "__substg1.0_10130102": "<meta charset=utf-8><p>Größe 5 €".encode()}
    assert parse(outlook(html | unicode(_0037="Fees")), ".msg").text == "# Fees\n\nGröße 5 €"
    rtf = rb"{\rtf1\ansi\ansicpg1252 A wire costs $28.\par}"
    packed = struct.pack("<II4sI", len(rtf) + 12, len(rtf), b"MELA", 0) + rtf
    data = outlook({"__properties_version1.0": stored(), "__substg1.0_10090102": packed} | unicode(_0037="Fees"))
    assert parse(data, ".msg").text == "# Fees\n\nA wire costs $28."


def test_packed_rtf_of_outlook():
    packed = "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    assert _unpacked(bytes.fromhex(packed)) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"  # MS-OXRTFCP 3.1
