"""The command that turns exports of other programs into conversations. Nothing heavy at import."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import AsJson, print_json, tell

MOST_SHOWN = 5  # conversations that were left out

if TYPE_CHECKING:
    from inhouse.datasets.importers.run import Summary


def import_export(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[KIND] FILE...",
            help="KIND is zendesk, intercom, freshdesk, slack, teams, whatsapp, mbox, openai, azure, sharegpt, alpaca, "
            "gemini, bedrock, or chatgpt; it is guessed if left out. Then files, folders, or zip archives.",
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write. Default: KIND.jsonl.")] = None,
    staff: Annotated[
        list[str] | None,
        typer.Option("--staff", metavar="DOMAIN|NAME", help="Who writes for the business; repeat for more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn an export of a help desk, a chat, a mailbox, or a fine-tuning file into conversations for curation.

    For example: inhouse import zendesk export/ --out conversations.jsonl

    Internal notes, automatic messages, quoted mails, and signatures are left out; the summary counts them. Rows with a
    preferred and a rejected answer go to NAME.preference.jsonl, stored completions to NAME.stored.jsonl, and questions
    with a reference for a grader to NAME.tests.jsonl.
    """
    from inhouse.cli.terminal import Bars
    from inhouse.datasets.importers.registry import IMPORTERS
    from inhouse.datasets.importers.run import import_files
    from inhouse.errors import InputError
    from inhouse.types import Silent

    is_kind = not Path(files[0]).exists() and re.fullmatch(r"[\w -]+", files[0]) is not None
    kind = files[0].lower() if is_kind and (len(files) > 1 or files[0].lower() in IMPORTERS) else ""
    paths = [Path(f) for f in (files[1:] if kind else files)]
    if not paths:
        raise InputError(f"{kind}: no files are named", f"inhouse import {kind} FILE...")
    tell(f"Importing {', '.join(str(p) for p in paths[:3])}{', ...' if len(paths) > 3 else ''}", as_json)
    summary = import_files(kind, paths, out, staff or (), Silent() if as_json else Bars())
    if as_json:
        print_json(summary.model_dump(mode="json"))
    else:
        _show(summary)


def _show(summary: Summary) -> None:
    """Prints what was imported, what was left out and why, and what was assumed."""
    from inhouse.cli.terminal import print_line

    for note in summary.notes:
        print_line(f"note: {note}")
    left = summary.reasons()
    for title, counts in (("conversations left out", left), ("messages left out", summary.messages_left_out)):
        if counts:
            print_line(f"{title}: {', '.join(f'{n:,} {reason}' for reason, n in counts.items())}")
    for left_out in summary.left_out[:MOST_SHOWN]:
        print_line(f"  {left_out.id}: {left_out.reason}")
    if len(summary.left_out) > MOST_SHOWN:
        print_line(f"  and {len(summary.left_out) - MOST_SHOWN:,} more; --json names all")
    if summary.conversations:
        talks = "1 conversation" if summary.conversations == 1 else f"{summary.conversations:,} conversations"
        print_line(f"{summary.title}: {talks} with {summary.turns:,} messages in {summary.out}")
    others = (
        (summary.preference_rows, "preference row", summary.preference_out, "[feedback] preferences"),
        (summary.stored_rows, "stored completion", summary.stored_out, "inhouse openai compare"),
        (summary.tests_rows, "question with a reference", summary.tests_out, "[curation] tests"),
    )
    for count, what, file, use in others:
        if count:
            more = what.replace("question", "questions") if "question" in what else f"{what}s"
            print_line(f"{summary.title}: {count:,} {what if count == 1 else more} in {file}, for {use}")
    print_line("Names, addresses, and phone numbers are still in it; curation anonymizes them.")
    if summary.conversations:
        print_line(f'Next: name the file in inhouse.toml: [curation] conversations = ["{summary.out}"]')
