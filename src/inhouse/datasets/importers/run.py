"""An import from the files of an export to our JSON lines, with a summary of what was left out and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from inhouse.datasets.importers.files import Entry, entries_of
from inhouse.datasets.importers.imported import PREFERENCE, STORED, TESTS, Conversation, Job, Report, Skipped, Staff
from inhouse.datasets.importers.registry import choose
from inhouse.errors import BackendError, InputError
from inhouse.files import replacing
from inhouse.types import Json, Progress, Record, Silent

PARTS = ("", PREFERENCE, STORED, TESTS)


class LeftOut(Record):
    """A conversation that was not imported."""

    id: str
    reason: str


class Summary(Record):
    """What an import made, assumed, and left out."""

    kind: str
    title: str
    out: str = ""
    preference_out: str = ""
    stored_out: str = ""
    tests_out: str = ""
    conversations: int = 0
    turns: int = 0
    preference_rows: int = 0
    stored_rows: int = 0
    tests_rows: int = 0
    agents: int = 0
    attachments: int = 0
    left_out: tuple[LeftOut, ...] = ()
    messages_left_out: Mapping[str, int] = {}
    notes: tuple[str, ...] = ()

    def reasons(self) -> dict[str, int]:
        """How many conversations were left out, by reason; numbers of tickets do not tell reasons apart."""
        return dict(
            Counter("merged" if s.reason.startswith("merged") else s.reason for s in self.left_out).most_common()
        )


def path_of(out: Path, part: str) -> Path:
    """The file of a kind of rows, beside that of the conversations."""
    return out.with_name(f"{out.stem}.{part}.jsonl") if part else out


def import_files(
    kind: str,
    paths: Sequence[Path],
    out: Path | None = None,
    staff: Sequence[str] = (),
    progress: Progress | None = None,
) -> Summary:
    """Reads the files of an export and writes its conversations, one JSON object a line, whole or not at all.

    Args:
        kind: the name of an importer; guessed if it is empty or wrong.
        paths: files, folders, or zip archives.
        out: the file to write, by default the kind's name in the current folder. Rows with a preferred and a rejected
            answer, stored completions, and questions with a reference go to files beside it.
        staff: domains, addresses, or names of the business's people.
        progress: shows how much is read.

    Raises:
        InputError: the files cannot be read, are of no kind, or have no conversation to import.
        BackendError: the output cannot be written.
    """
    entries = entries_of(paths)
    importer, said = choose(kind, entries)
    out = out or Path(f"{importer.name}.jsonl")
    _refuse_inputs(out, entries)
    report = Report(notes=[said] if said else [])
    total = sum(e.size for e in entries)
    with (progress or Silent()).step(f"reading {importer.title}", total) as step:
        job = Job(entries, Staff(staff), report, step.advance)
        counts, skipped = _write(importer.read(job), out)
    if report.ignored:
        some = ", ".join(f"{name} ({n} records)" for name, n in report.ignored.most_common(3))
        more = f" and {len(report.ignored) - 3} more files" if len(report.ignored) > 3 else ""
        report.note(f"not part of the export: {some}{more}")
    if not any(counts[_rows(part)] for part in PARTS):
        reasons = Counter(s.reason for s in skipped)
        listed = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common(5)) or "none found"
        first = f"; the first: {skipped[0].id}: {skipped[0].reason}" if skipped else ""
        raise InputError(
            f"the {importer.title} export has no conversation to import ({listed}{first})", _hint(staff, reasons)
        )
    files = {f"{part}_out": str(path_of(out, part)) for part in PARTS[1:] if counts[_rows(part)]}
    return Summary(
        kind=importer.name,
        title=importer.title,
        out=str(out) if counts["conversations"] else "",
        **files,
        **counts,
        left_out=tuple(LeftOut(id=s.id, reason=s.reason) for s in skipped),
        messages_left_out={k: n for k, n in report.dropped.most_common() if n},
        notes=tuple(report.notes),
    )


def _rows(part: str) -> str:
    """The field of a Summary that counts the rows of a kind."""
    return f"{part}_rows" if part else "conversations"


def _hint(staff: Sequence[str], reasons: Mapping[str, int]) -> str:
    if staff and "no reply" in reasons:
        return "name who is staff: --staff DOMAIN or NAME (what was given matches nobody who answers)"
    if "no reply" in reasons or "no question" in reasons:
        return "name who is staff: --staff DOMAIN or NAME"
    return "check that the files are the whole export"


def _refuse_inputs(out: Path, entries: Sequence[Entry]) -> None:
    """Raises if a file that is written would replace one that is read."""
    for written in (path_of(out, part) for part in PARTS):
        if written.exists() and any(written.resolve() == Path(e.archive or e.place).resolve() for e in entries):
            raise InputError(f"{written}: is one of the files to import", "choose another file with --out")
    if out.is_dir():
        raise InputError(f"{out}: is a folder", "name a file, such as conversations.jsonl")


def _write(found: Iterator[Conversation | Skipped], out: Path) -> tuple[Counter[str], list[Skipped]]:
    """Writes rows as they come, each kind to its file; a file without rows is not made."""
    counts: Counter[str] = Counter()
    skipped: list[Skipped] = []
    agents: set[str] = set()
    ids: set[str] = set()
    try:
        with ExitStack() as whole:
            files: dict[str, IO[bytes]] = {}
            for item in found:
                if isinstance(item, Skipped):
                    skipped.append(item)
                    continue
                if item.part not in files:
                    partial = whole.enter_context(replacing(path_of(out, item.part)))
                    files[item.part] = whole.enter_context(partial.open("wb"))
                row = _unique(item.row(), ids)
                files[item.part].write(_line(row))
                counts[_rows(item.part)] += 1
                counts["turns"] += 0 if item.part else len(item.messages)
                agents |= set(item.listed("agents"))
                counts["attachments"] += len(item.listed("attachments"))
    except OSError as error:
        raise BackendError(f"{out}: cannot be written ({error.strerror or error})", "choose another file") from error
    counts["agents"] = len(agents)
    return counts, skipped


def _unique(row: dict[str, Json], ids: set[str]) -> dict[str, Json]:
    """The row with an id that no other row has."""
    id, n = row["id"], 1
    while row["id"] in ids:
        n += 1
        row["id"] = f"{id}-{n}"
    ids.add(row["id"])
    return row


def _line(row: Mapping[str, Json]) -> bytes:
    """A row as a line of JSON; halves of surrogate pairs, which are no text, become U+FFFD."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode() + b"\n"
