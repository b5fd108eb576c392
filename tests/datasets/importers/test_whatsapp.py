"""Chats of WhatsApp in the formats of phones and countries."""

import json
import zipfile

import pytest

from inhouse.datasets.importers.run import import_files
from inhouse.errors import InputError

SHOP, ANN = "Corner Shop", "Ann Lee"


def chat(stamp, *, encryption="Messages and calls are end-to-end encrypted. Tap to learn more.", ios=False, end="\n"):
    """A chat whose stamps are made by `stamp` of a day of March 2024, an hour, and a minute."""
    first = f"{SHOP}: \u200e{encryption}" if ios else encryption
    lines = [
        stamp(12, 9, 37) + first,
        stamp(12, 9, 38) + f"{ANN}: Do you have the belt: B-40?",
        "It is for 12/03/2024 or later.",
        stamp(12, 12, 5) + f"{SHOP}: Yes - $4.50 each.",
        stamp(13, 15, 7) + f"{ANN}: Two, please",
        stamp(14, 0, 30) + f"{SHOP}: Sent.",
    ]
    return end.join(lines) + end


TURNS = [
    ("user", "Do you have the belt: B-40?\nIt is for 12/03/2024 or later."),
    ("assistant", "Yes - $4.50 each."),
    ("user", "Two, please"),
    ("assistant", "Sent."),
]
TIMES = ["2024-03-12T09:38", "2024-03-12T12:05", "2024-03-13T15:07", "2024-03-14T00:30"]


def half(hour, am="AM", pm="PM"):
    return hour % 12 or 12, pm if hour >= 12 else am


def bracket(form):
    return lambda d, h, m: "[" + form(d, h, m) + "] "


STAMPS = {
    "android en-GB": lambda d, h, m: f"{d:02}/03/2024, {h:02}:{m:02} - ",
    "android en-US": lambda d, h, m: f"3/{d}/24, {half(h)[0]}:{m:02} {half(h)[1]} - ",
    "android en-US narrow space": lambda d, h, m: f"3/{d}/24, {half(h)[0]}:{m:02}\u202f{half(h)[1]} - ",
    "android en-IN": lambda d, h, m: f"{d:02}/03/24, {half(h)[0]}:{m:02} {half(h)[1].lower()} - ",
    "android en-AU": lambda d, h, m: f"{d}/3/2024, {half(h)[0]}:{m:02} {half(h)[1].lower()} - ",
    "android en-ZA": lambda d, h, m: f"2024/03/{d:02}, {h:02}:{m:02} - ",
    "android en-CA": lambda d, h, m: f"2024-03-{d:02}, {half(h)[0]}:{m:02} {half(h, 'a.m.', 'p.m.')[1]} - ",
    "android de": lambda d, h, m: f"{d:02}.03.24, {h:02}:{m:02} - ",
    "android de long": lambda d, h, m: f"{d:02}.03.2024, {h:02}:{m:02} - ",
    "android de um": lambda d, h, m: f"{d:02}.03.2024 um {h:02}:{m:02} - ",
    "android fr": lambda d, h, m: f"{d:02}/03/2024 à {h:02}:{m:02} - ",
    "android fr-CA": lambda d, h, m: f"2024-03-{d:02} {h:02} h {m:02} - ",
    "android es": lambda d, h, m: f"{d}/3/24, {h}:{m:02} - ",
    "android es-MX": lambda d, h, m: f"{d:02}/03/24, {half(h)[0]}:{m:02}\xa0{half(h, 'a. m.', 'p. m.')[1]} - ",
    "android it": lambda d, h, m: f"{d:02}/03/24, {h:02}:{m:02} - ",
    "android pt-BR": lambda d, h, m: f"{d:02}/03/2024 {h:02}:{m:02} - ",
    "android nl": lambda d, h, m: f"{d:02}-03-2024 {h:02}:{m:02} - ",
    "android da": lambda d, h, m: f"{d:02}.03.2024 {h:02}.{m:02} - ",
    "android fi": lambda d, h, m: f"{d}.3.2024 klo {h}.{m:02} - ",
    "android sv": lambda d, h, m: f"2024-03-{d:02} {h:02}:{m:02} - ",
    "android pl": lambda d, h, m: f"{d:02}.03.2024, {h:02}:{m:02} - ",
    "android cs": lambda d, h, m: f"{d:02}.03.24 {h}:{m:02} - ",
    "android hu": lambda d, h, m: f"2024. 03. {d:02}. {h}:{m:02} - ",
    "android tr": lambda d, h, m: f"{d:02}.03.2024 {h:02}:{m:02} - ",
    "android ru": lambda d, h, m: f"{d:02}.03.2024, {h:02}:{m:02} - ",
    "android bg": lambda d, h, m: f"{d}.03.24 г., {h}:{m:02} - ",
    "android lt": lambda d, h, m: f"2024-03-{d:02} {h:02}:{m:02} - ",
    "android ja": lambda d, h, m: f"2024/03/{d:02} {h}:{m:02} - ",
    "android zh-CN": lambda d, h, m: f"2024/3/{d} {half(h, '上午', '下午')[1]}{half(h)[0]}:{m:02} - ",
    "android zh-TW": lambda d, h, m: f"2024/3/{d} {half(h, '上午', '下午')[1]}{half(h)[0]}:{m:02} - ",
    "android zh long": lambda d, h, m: f"2024年3月{d}日 {half(h, '上午', '下午')[1]}{half(h)[0]}:{m:02} - ",
    "android ko": lambda d, h, m: f"2024. 3. {d}. {half(h, '오전', '오후')[1]} {half(h)[0]}:{m:02} - ",
    "android hi": lambda d, h, m: f"{d}/3/24, {half(h)[0]}:{m:02} {half(h, 'am', 'pm')[1]} - ",
    "android ar": lambda d, h, m: (f"{d}\u200f/3\u200f/2024، {half(h)[0]}:{m:02} {half(h, 'ص', 'م')[1]} - ").translate(
        {ord(str(n)): "٠١٢٣٤٥٦٧٨٩"[n] for n in range(10)}
    ),
    "android th": lambda d, h, m: f"{d}/3/2567 {h:02}:{m:02} - ",
    "android el": lambda d, h, m: f"{d}/3/24, {half(h)[0]}:{m:02} {half(h, 'π.μ.', 'μ.μ.')[1]} - ",
    "android vi": lambda d, h, m: f"{d:02}/03/2024, {h:02}:{m:02} - ",
    "android en dash": lambda d, h, m: f"{d:02}/03/2024, {h:02}:{m:02} – ",
    "ios en-US": bracket(lambda d, h, m: f"3/{d}/24, {half(h)[0]}:{m:02}:10 {half(h)[1]}"),
    "ios en-US narrow space": bracket(lambda d, h, m: f"3/{d}/24, {half(h)[0]}:{m:02}:10\u202f{half(h)[1]}"),
    "ios en-GB": bracket(lambda d, h, m: f"{d:02}/03/2024, {h:02}:{m:02}:10"),
    "ios de": bracket(lambda d, h, m: f"{d:02}.03.24, {h:02}:{m:02}:10"),
    "ios fr": bracket(lambda d, h, m: f"{d:02}/03/2024 {h:02}:{m:02}:10"),
    "ios fr à": bracket(lambda d, h, m: f"{d:02}/03/2024 à {h:02}:{m:02}:10"),
    "ios es": bracket(lambda d, h, m: f"{d}/3/24, {h}:{m:02}:10"),
    "ios es-MX": bracket(lambda d, h, m: f"{d:02}/03/24, {half(h)[0]}:{m:02}:10 {half(h, 'a. m.', 'p. m.')[1]}"),
    "ios pt-BR": bracket(lambda d, h, m: f"{d:02}/03/2024, {h:02}:{m:02}:10"),
    "ios nl": bracket(lambda d, h, m: f"{d:02}-03-2024 {h:02}:{m:02}:10"),
    "ios it": bracket(lambda d, h, m: f"{d:02}/03/24, {h:02}:{m:02}:10"),
    "ios da": bracket(lambda d, h, m: f"{d:02}.03.2024 {h:02}.{m:02}.10"),
    "ios sv": bracket(lambda d, h, m: f"2024-03-{d:02} {h:02}:{m:02}:10"),
    "ios ja": bracket(lambda d, h, m: f"2024/03/{d:02} {h}:{m:02}:10"),
    "ios zh": bracket(lambda d, h, m: f"2024/3/{d} {half(h, '上午', '下午')[1]}{half(h)[0]}:{m:02}:10"),
    "ios ko": bracket(lambda d, h, m: f"2024. 3. {d}. {half(h, '오전', '오후')[1]} {half(h)[0]}:{m:02}:10"),
    "ios ru": bracket(lambda d, h, m: f"{d:02}.03.2024, {h:02}:{m:02}:10"),
    "ios hu": bracket(lambda d, h, m: f"2024. 03. {d:02}. {h}:{m:02}:10"),
}


def imported(path, tmp_path, *staff, **more):
    summary = import_files("whatsapp", [path], tmp_path / "out.jsonl", staff or [SHOP], **more)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    return summary, rows


def turns(row):
    return [(m["role"], m["content"]) for m in row["messages"]]


@pytest.mark.parametrize("name", STAMPS)
def test_formats_of_phones(name, tmp_path):
    ios = name.startswith("ios")
    file = tmp_path / "_chat.txt"
    file.write_bytes(chat(STAMPS[name], ios=ios, end="\r\n" if ios else "\n").encode())
    summary, [row] = imported(file, tmp_path)
    assert turns(row) == TURNS
    assert row["time"] == TIMES[0] + ":10" * ios
    assert [t[:16] for t in row["metadata"]["times"]] == TIMES
    assert row["metadata"]["agents"] == [SHOP]
    assert summary.messages_left_out == {"system message": 1}


def test_korean_stamps_end_with_a_comma(tmp_path):
    file = tmp_path / "chat.txt"
    file.write_text(
        f"2024년 3월 12일 오전 9:37, {ANN} : 벨트 있나요?\n2024년 3월 12일 오후 1:05, {SHOP} : 네.\n"
        f"2024년 3월 12일 오후 1:06, {ANN} : 좋아요: 두 개\n"
    )
    _, [row] = imported(file, tmp_path)
    assert turns(row) == [("user", "벨트 있나요?"), ("assistant", "네."), ("user", "좋아요: 두 개")]
    assert row["metadata"]["times"][1] == "2024-03-12T13:05"


@pytest.mark.parametrize(
    ("text", "kept", "reason"),
    [
        ("<Media omitted>", "", "attachment without text"),
        ("<Medien ausgeschlossen>", "", "attachment without text"),
        ("<Multimedia omitido>", "", "attachment without text"),
        ("<Médias omis>", "", "attachment without text"),
        ("<Media omessi>", "", "attachment without text"),
        ("<Arquivo de mídia oculto>", "", "attachment without text"),
        ("<Без медиафайлов>", "", "attachment without text"),
        ("<省略多媒体文件>", "", "attachment without text"),
        ("<メディアは含まれていません>", "", "attachment without text"),
        ("null", "", "attachment without text"),
        ("Missed voice call", "", "attachment without text"),
        ("\u200eIMG-20240312-WA0001.jpg (file attached)", "", "attachment without text"),
        ("IMG-20240312-WA0001.jpg (Datei angehängt)\nThe broken belt", "The broken belt", ""),
        ("DOC-20240312-WA0001.pdf (archivo adjunto)\nLa factura", "La factura", ""),
        ("This message was deleted", "", "deleted message"),
        ("You deleted this message", "", "deleted message"),
        ("Diese Nachricht wurde gelöscht.", "", "deleted message"),
        ("Se eliminó este mensaje", "", "deleted message"),
        ("Ce message a été supprimé", "", "deleted message"),
        ("Questo messaggio è stato eliminato", "", "deleted message"),
        ("Mensagem apagada", "", "deleted message"),
        ("Dit bericht is verwijderd", "", "deleted message"),
        ("Сообщение удалено", "", "deleted message"),
        ("このメッセージは削除されました", "", "deleted message"),
        ("此消息已被删除", "", "deleted message"),
        ("Belt 41 <This message was edited>", "Belt 41", ""),
        ("Riemen 41 \u200e<Diese Nachricht wurde bearbeitet.>", "Riemen 41", ""),
        ("Correa 41 <Se editó este mensaje.>", "Correa 41", ""),
        ("Courroie 41 <Ce message a été modifié>", "Courroie 41", ""),
        ("Cinghia 41 <Questo messaggio è stato modificato>", "Cinghia 41", ""),
        ("Correia 41 <Mensagem editada>", "Correia 41", ""),
        ("Ремень 41 <Сообщение изменено>", "Ремень 41", ""),
        ("See <b>here</b> or List<String> x", "See <b>here</b> or List<String> x", ""),
        ("This message was deleted by me: B-40 is wrong", "This message was deleted by me: B-40 is wrong", ""),
        ("manual.pdf (page 3)", "manual.pdf (page 3)", ""),
        ("\u200eimage omitted", "", "attachment without text"),
        ("https://shop.example/a?b=1", "https://shop.example/a?b=1", ""),
    ],
)
@pytest.mark.parametrize("ios", [False, True], ids=["android", "ios"])
def test_marks_in_messages(text, kept, reason, ios, tmp_path):
    stamp = STAMPS["ios en-GB" if ios else "android en-GB"]
    file = tmp_path / "chat.txt"
    file.write_text(
        f"{stamp(12, 9, 0)}{ANN}: Question?\n{stamp(12, 9, 1)}{SHOP}: Answer.\n{stamp(12, 9, 2)}{ANN}: {text}\n"
        f"{stamp(12, 9, 3)}{SHOP}: Bye.\n"
    )
    summary, [row] = imported(file, tmp_path)
    assert turns(row)[2:] == ([("user", kept), ("assistant", "Bye.")] if kept else []) or (
        not kept and len(turns(row)) == 2
    )
    left = {"system message": 1} if reason == "system message" else {reason: 1} if reason else {}
    assert summary.messages_left_out == left


def test_ios_attachments_are_named_and_captions_stay(tmp_path):
    file = tmp_path / "_chat.txt"
    file.write_text(
        f"[12/03/2024, 09:38:10] {ANN}: \u200e<attached: 00000002-PHOTO-2024-03-12-09-38-10.jpg>\n"
        f"[12/03/2024, 09:38:40] {ANN}: The belt in the picture \u200e<attached: 00000003-PHOTO.jpg>\n"
        f"\u200e[12/03/2024, 09:38:50] {ANN}: invoice.pdf • \u200e2 pages \u200e<attached: 00000004-invoice.pdf>\n"
        f"[12/03/2024, 09:39:10] {SHOP}: It is B-40.\n"
    )
    summary, [row] = imported(file, tmp_path)
    assert turns(row)[-1] == ("assistant", "It is B-40.")
    assert "The belt in the picture" in row["messages"][0]["content"]
    assert row["metadata"]["attachments"] == [
        "00000002-PHOTO-2024-03-12-09-38-10.jpg", "00000003-PHOTO.jpg", "00000004-invoice.pdf",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "caption", ["The belt \u200eimage omitted", "\u200eimage omitted\nThe belt", "The belt\n\u200evideo omitted"]
)
def test_ios_captions_of_media_that_were_left_out(caption, tmp_path):
    file = tmp_path / "_chat.txt"
    file.write_text(f"\u200e[12/03/2024, 09:38:10] {ANN}: {caption}\n[12/03/2024, 09:39:10] {SHOP}: B-40.\n")
    _, [row] = imported(file, tmp_path)
    assert turns(row) == [("user", "The belt"), ("assistant", "B-40.")]


def test_phones_of_two_countries_in_one_import(tmp_path):
    folder = tmp_path / "chats"
    folder.mkdir()
    for name, dates in {
        "gb": "13/03/2024 14/03/2024",
        "us": "03/13/2024 03/14/2024",
        "unclear": "05/03/2024 05/03/2024",
    }.items():
        a, b = dates.split()
        (folder / f"{name}.txt").write_text(f"{a}, 09:38 - {ANN}: A?\n{b}, 09:39 - {SHOP}: B.\n")
    summary, rows = imported(folder, tmp_path)
    assert {r["id"]: r["time"][:10] for r in rows} == {
        "gb.txt": "2024-03-13", "us.txt": "2024-03-13", "unclear.txt": "2024-03-05",
    }  # fmt: skip


def test_system_lines_have_no_sender(tmp_path):
    s = STAMPS["android en-GB"]
    file = tmp_path / "chat.txt"
    file.write_text(
        s(12, 9, 1) + "Ann Lee created group “Belts”\n" + s(12, 9, 1) + "Your security code with Ann Lee changed.\n"
        + s(12, 9, 1) + 'Ann Lee changed the group name from “Belts” to “Belts: new”\n'
        + s(12, 9, 2) + "+44 7700 900123 joined using this group's invite link\n"
        + s(12, 9, 3) + "+44 7700 900123: Belt?\n" + s(12, 9, 4) + f"{SHOP}: B-40\n" + s(12, 9, 5) + "~ Bob: Me too\n"
    )  # fmt: skip
    summary, [row] = imported(file, tmp_path)
    assert turns(row) == [("user", "Belt?"), ("assistant", "B-40"), ("user", "Me too")]
    assert summary.messages_left_out == {"system message": 4}


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (["5/3/24", "6/3/24", "13/3/24"], "2024-03-05"),  # 13 is no month
        (["3/5/24", "3/6/24", "3/13/24"], "2024-03-05"),
        (["5/3/24", "6/3/24", "7/3/24"], "2024-03-05"),  # three days in a row, not in three months
        (["3/5/24", "3/6/24", "4/1/24"], "2024-03-05"),
        (["3/4/24", "3/5/24", "3/6/24"], "2024-03-04"),
    ],
)
def test_the_order_of_day_and_month(dates, first, tmp_path):
    a, b, c = dates
    file = tmp_path / "chat.txt"
    file.write_text(f"{a}, 09:38 - {ANN}: A?\n{b}, 09:38 - {SHOP}: B.\n{c}, 09:38 - {ANN}: C?\n")
    summary, [row] = imported(file, tmp_path)
    assert row["time"].startswith(first)
    assert any("assumed" in n for n in summary.notes) == (dates[2] in ("7/3/24", "3/6/24"))


def test_an_order_that_nothing_proves_is_said(tmp_path):
    file = tmp_path / "chat.txt"
    file.write_text(f"05/03/2024, 09:38 - {ANN}: A?\n05/03/2024, 09:39 - {SHOP}: B.\n")
    summary, [row] = imported(file, tmp_path)
    assert row["time"] == "2024-03-05T09:38"
    assert any("day first (assumed)" in n for n in summary.notes)


# --- staff and containers -----------------------------------------------------------------------------------------


def test_staff_is_whoever_writes_in_every_chat(tmp_path):
    folder = tmp_path / "chats"
    folder.mkdir()
    for n, name in enumerate(("Ann", "Bob", "Cleo")):
        (folder / f"{n}.txt").write_text(chat(STAMPS["android en-GB"]).replace(ANN, name))
    summary = import_files("whatsapp", [folder], tmp_path / "out.jsonl")
    assert summary.conversations == 3
    assert any(f"staff are taken to be {SHOP}" in n for n in summary.notes)


@pytest.mark.parametrize("name", ["WhatsApp Chat with Ann Lee.txt", "WhatsApp-Chat mit Ann Lee.txt",
                                  "Chat de WhatsApp con Ann Lee.txt", "Conversa do WhatsApp com Ann Lee.txt"])  # fmt: skip
def test_a_file_is_named_after_the_customer(name, tmp_path):
    (tmp_path / name).write_text(chat(STAMPS["android en-GB"]))
    summary = import_files("whatsapp", [tmp_path / name], tmp_path / "out.jsonl")
    assert any(f"staff are taken to be {SHOP}" in n for n in summary.notes)


def test_who_is_staff_is_asked_with_the_choices(tmp_path):
    (tmp_path / "chat.txt").write_text(chat(STAMPS["android en-GB"]))
    with pytest.raises(InputError, match="do not say who is staff") as error:
        import_files("whatsapp", [tmp_path / "chat.txt"], tmp_path / "out.jsonl")
    assert f"{ANN} 2" in error.value.hint
    assert f"{SHOP} 2" in error.value.hint
    with pytest.raises(InputError, match="matches --staff Nobody"):
        import_files("whatsapp", [tmp_path / "chat.txt"], tmp_path / "out.jsonl", ["Nobody"])


def test_an_archive_is_read_in_place(tmp_path):
    path = tmp_path / "WhatsApp Chat - Ann Lee.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_chat.txt", chat(STAMPS["ios de"], ios=True))
        archive.writestr("00000002-PHOTO.jpg", b"\xff\xd8")
    summary = import_files("", [path], tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert row["id"] == "WhatsApp Chat - Ann Lee/_chat.txt"
    assert turns(row) == TURNS
    assert any("not read: 1 .jpg" in n for n in summary.notes)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings(encoding, tmp_path):
    (tmp_path / "chat.txt").write_bytes(chat(STAMPS["android en-GB"]).encode(encoding))
    _, [row] = imported(tmp_path / "chat.txt", tmp_path)
    assert turns(row) == TURNS
