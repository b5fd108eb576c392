"""Seconds and memory of importing large exports, each by the command `inhouse import` in a separate process.

    python benchmarks/imports.py [--mb 100] [--quick]

The exports are generated and have the shape of real ones: Zendesk tickets with comments as plain text, HTML, and body
in one page of the API; Intercom conversations with HTML line by line; a mailbox whose replies quote the mails before;
a Slack archive with a file for each day; WhatsApp chats. Prints a table with the size, the seconds, the peak of
resident memory, and the conversations, and writes `benchmarks/results/imports.json`. `--quick` takes 5 MB each.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
START = datetime(2024, 1, 1, tzinfo=UTC)
WORDS = [
    "the",
    "belt",
    "mixer",
    "oven",
    "order",
    "part",
    "price",
    "invoice",
    "delivery",
    "Thursday",
    "speed",
    "warranty",
    "please",
    "thank",
    "you",
    "is",
    "was",
    "not",
    "with",
    "of",
    "our",
    "from",
    "steam",
    "error",
    "E07",
    "$38.50",
    "DX-3",
    "SM-40",
    "für",
    "Größe",
    "café",
    "25",
    "mm",
    "blade",
    "filter",
    "water",
    "pressure",
    "under",
    "bar",
]
STAFF = "shop.example"


def sentences(words: int) -> str:
    text = " ".join(random.choices(WORDS, k=words))
    return f"{text[0].upper()}{text[1:]}."


def when(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def iso(minute: int) -> str:
    return when(minute).strftime("%Y-%m-%dT%H:%M:%SZ")


def talk(number: int) -> list[tuple[bool, str, int]]:
    """Turns of a conversation: whether staff wrote it, the text of some paragraphs, and the minute."""
    return [
        (n % 2 == 1, "\n\n".join(sentences(random.randint(5, 60)) for _ in range(random.randint(1, 3))), 7 * number + n)
        for n in range(random.randint(2, 6))
    ]


def as_html(text: str) -> str:
    return "".join(f"<p>{part}</p>" for part in text.split("\n\n"))


def zendesk(folder: Path, size: int) -> list[Path]:
    users = [{"id": n, "name": f"Agent {n}", "email": f"{n}@{STAFF}", "role": "agent"} for n in range(20)]
    (folder / "users.json").write_text(json.dumps({"users": users}))
    with (folder / "tickets.json").open("w", encoding="utf-8") as file:
        file.write('{"count": 1000, "tickets": [')
        number = 0
        while file.tell() < size:
            comments = [
                {
                    "id": n,
                    "type": "Comment",
                    "author_id": number % 20 if staff else 1000 + number,
                    "body": text,
                    "html_body": f'<div class="zd-comment" dir="auto">{as_html(text)}</div>',
                    "plain_body": text,
                    "public": n != 2,
                    "attachments": [],
                    "audit_id": n,
                    "via": {"channel": "web", "source": {"from": {}, "to": {}, "rel": None}},
                    "created_at": iso(minute),
                    "metadata": {"system": {}, "custom": {}},
                }
                for n, (staff, text, minute) in enumerate(talk(number))
            ]
            ticket = {
                "url": f"https://shop.zendesk.com/api/v2/tickets/{number}.json",
                "id": number,
                "created_at": iso(7 * number),
                "updated_at": iso(7 * number + 9),
                "subject": sentences(5),
                "raw_subject": "",
                "description": comments[0]["body"],
                "status": "closed",
                "requester_id": 1000 + number,
                "submitter_id": 1000 + number,
                "assignee_id": number % 20,
                "tags": ["mixer"],
                "custom_fields": [{"id": n, "value": None} for n in range(20)],
                "satisfaction_rating": {"score": "good"},
                "comments": comments,
            }
            file.write(("," if number else "") + json.dumps(ticket, ensure_ascii=False))
            number += 1
        file.write("]}")
    return [folder]


def intercom(folder: Path, size: int) -> list[Path]:
    path = folder / "conversations.jsonl"
    with path.open("w", encoding="utf-8") as file:
        number = 0
        while file.tell() < size:
            turns = [
                {
                    "type": "conversation_part",
                    "id": str(n),
                    "part_type": "comment",
                    "body": as_html(text),
                    "created_at": int(when(minute).timestamp()),
                    "author": {"type": "admin" if staff else "user", "name": "Ann"},
                    "attachments": [],
                }
                for n, (staff, text, minute) in enumerate(talk(number))
            ]
            row = {
                "type": "conversation",
                "id": str(number),
                "created_at": turns[0]["created_at"],
                "source": turns[0],
                "conversation_parts": {"conversation_parts": turns[1:]},
                "tags": {"tags": []},
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            number += 1
    return [path]


def mbox(folder: Path, size: int) -> list[Path]:
    path = folder / "support.mbox"
    with path.open("w", encoding="utf-8") as file:
        number = 0
        while file.tell() < size:
            before = ""
            for n, (staff, text, minute) in enumerate(talk(number)):
                sender, to = (f"Tom <help@{STAFF}>", f"Ann <ann@c{number}.example>")[:: 1 if staff else -1]
                parents = " ".join(f"<{number}.{m}@mail.example>" for m in range(n))
                headers = [
                    f"From {sender.split('<')[1][:-1]} {when(minute):%a %b %d %H:%M:%S %Y}",
                    f"From: {sender}",
                    f"To: {to}",
                    f"Subject: {'Re: ' if n else ''}Belt {number}",
                    f"Date: {when(minute):%a, %d %b %Y %H:%M:%S +0000}",
                    f"Message-ID: <{number}.{n}@mail.example>",
                    *([f"References: {parents}"] if n else []),
                    'Content-Type: text/plain; charset="utf-8"',
                    "Content-Transfer-Encoding: 8bit",
                ]
                quoted = "".join(f"> {line}\n" for line in before.splitlines())
                before = f"{text}\n\n-- \nTom\n\nOn {iso(minute)}, {to} wrote:\n{quoted}" if n else f"{text}\n"
                file.write("\n".join(headers) + f"\n\n{before}\n")
            number += 1
    return [path]


def slack(folder: Path, size: int) -> list[Path]:
    path = folder / "slack.zip"
    written = number = day = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        users = [
            {
                "id": f"U{n}",
                "team_id": "T",
                "real_name": f"Name {n}",
                "is_bot": False,
                "profile": {"email": f"{n}@{STAFF if n < 20 else 'customer.example'}"},
            }
            for n in range(500)
        ]
        archive.writestr("users.json", json.dumps(users))
        while written < size:
            messages = []
            for _ in range(100):
                turns = talk(number)
                root = f"{when(turns[0][2]).timestamp():.6f}"
                for staff, text, minute in turns:
                    user = f"U{number % 20 if staff else 20 + number % 480}"
                    messages.append(
                        {
                            "type": "message",
                            "user": user,
                            "text": text,
                            "ts": f"{when(minute).timestamp():.6f}",
                            "thread_ts": root,
                            "team": "T",
                            "blocks": [{"type": "rich_text", "elements": [text]}],
                        }
                    )
                number += 1
            data = json.dumps(messages, ensure_ascii=False).encode()
            written, day = written + len(data), day + 1
            archive.writestr(f"support/{START + timedelta(days=day):%Y-%m-%d}.json", data)
    return [path]


def whatsapp(folder: Path, size: int) -> list[Path]:
    for chat in range(20):
        with (folder / f"WhatsApp Chat with Customer {chat}.txt").open("w", encoding="utf-8") as file:
            number = 0
            while file.tell() < size / 20:
                for staff, text, minute in talk(number):
                    file.write(f"{when(minute):%d/%m/%Y, %H:%M} - {'Shop' if staff else f'Customer {chat}'}: {text}\n")
                number += 1
    return [folder]


KINDS: dict[str, tuple[Callable[[Path, int], list[Path]], str]] = {
    "zendesk": (zendesk, STAFF),
    "intercom": (intercom, STAFF),
    "mbox": (mbox, STAFF),
    "slack": (slack, STAFF),
    "whatsapp": (whatsapp, "Shop"),
}


def measured(kind: str, paths: list[Path], out: Path, staff: str) -> dict[str, float]:
    """Seconds, peak megabytes, and conversations of one import."""
    command = [
        sys.executable,
        "-m",
        "inhouse.cli.main",
        "import",
        kind,
        *map(str, paths),
        "--out",
        str(out),
        "--staff",
        staff,
        "--json",
    ]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        summary = json.loads(child.stdout.read())
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
        "conversations": summary["conversations"],
        "turns": summary["turns"],
    }


def sizes(paths: list[Path]) -> Iterator[int]:
    for path in paths:
        yield from (f.stat().st_size for f in ([path] if path.is_file() else path.iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=100, help="size of each export before compression")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), help="the exports to try")
    parser.add_argument("--quick", action="store_true", help="5 MB each")
    options = parser.parse_args()
    random.seed(1)
    results = {}
    print(f"{'export':<10}{'MB':>6}{'seconds':>9}{'CPU s':>7}{'peak MB':>9}{'conversations':>15}{'messages':>10}")
    for kind in options.kinds:
        generate, staff = KINDS[kind]
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / kind
            folder.mkdir()
            paths = generate(folder, (5 if options.quick else options.mb) << 20)
            row = measured(kind, paths, Path(scratch) / "out.jsonl", staff) | {"mb": round(sum(sizes(paths)) / 2**20)}
        results[kind] = row
        print(
            f"{kind:<10}{row['mb']:>6}{row['seconds']:>9}{row['cpu_s']:>7}{row['peak_mb']:>9}{row['conversations']:>15}{row['turns']:>10}"
        )
    out = HERE / "results" / "imports.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
