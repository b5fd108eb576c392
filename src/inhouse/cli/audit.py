"""The commands of the audit log: show, verify, export, redact. Nothing heavy at import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    pass

audit_app = typer.Typer(no_args_is_help=True, help="What was asked and answered: show, verify, export, redact.")
Since = Annotated[str, typer.Option(metavar="TIME", help="From this day or time on, 2026-01-31 or 2026-01-31T12:00Z.")]
Until = Annotated[str, typer.Option(metavar="TIME", help="Before this day or time.")]


# --- audit ------------------------------------------------------------------------------------------------------


@audit_app.command("show")
def audit_show(
    id: Annotated[str, typer.Argument(help="One exchange, in full; without, the latest are listed.")] = "",
    since: Since = "",
    until: Until = "",
    user: Annotated[str, typer.Option(help="Of this user alone.")] = "",
    text: Annotated[str, typer.Option(help="With this in the messages or the answer.")] = "",
    release: Annotated[str, typer.Option(metavar="NAME/VERSION", help="Answered by this release.")] = "",
    limit: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Show what was asked and answered, the latest first."""
    from inhouse.cli.terminal import out
    from inhouse.errors import InputError
    from inhouse.store.audit import Audit

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        audit = Audit(ledger)
        if id:
            exchange = audit.get(id)
            if exchange is None:
                raise InputError(f"{id}: no such exchange", "`inhouse audit show` lists the latest")
            print_json(exchange.model_dump(mode="json"))
            return
        found = audit.find(since=since, until=until, user=user, text=text, release=release, limit=limit)
    if as_json:
        print_json([{"seq": seq, **exchange.model_dump(mode="json")} for seq, exchange in found])
        return
    for seq, e in found:
        who = f"{seq:7}  {e.at[:19]}  {e.id}  {e.user or '-'}  {e.release or e.model}  {e.reason}  {e.latency_s:.1f} s"
        asked = next((m.content for m in reversed(e.messages) if m.role == "user"), "")
        for line, style in ((who, "bold"), (f"  > {_short(asked)}", ""), (f"  < {_short(e.answer)}", "dim")):
            out.print(_plain(line), style=style, markup=False, highlight=False, soft_wrap=True)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:159] + "…"


def _plain(text: str) -> str:
    """Without what would steer the terminal: users write these lines."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


@audit_app.command("verify")
def audit_verify(
    head: Annotated[str, typer.Option(metavar="SEQ:HASH", help="A head noted before, which must still stand.")] = "",
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Walk the chain of entries; exit 5 when one was changed, taken out or added. Note the head it prints elsewhere."""
    from inhouse.errors import GateError
    from inhouse.store.audit import Audit

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        found = Audit(ledger).verify(head)
    if as_json:
        print_json(found.model_dump(mode="json"))
    if not found.ok:
        hint = "compare with a backup or an export; entries before it hold"
        raise GateError(f"the audit does not hold at entry {found.broken_at}: {found.reason}", hint)
    if not as_json:
        tell(f"{found.rows:,} entries hold. The head, to be noted elsewhere:")
        print(found.head)


@audit_app.command("export")
def audit_export(
    file: Annotated[Path | None, typer.Argument(help="JSONL file to write; without, standard output.")] = None,
    since: Since = "",
    until: Until = "",
    project: At = HERE,
    overrides: Set = None,
) -> None:
    """Write the entries with all that checking them takes, one JSON object a line."""
    from inhouse.errors import BackendError
    from inhouse.files import replacing
    from inhouse.store.audit import Audit

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        if file is None:
            Audit(ledger).export(sys.stdout, since, until)
            return
        try:
            with replacing(file, 0o600) as partial, partial.open("w", encoding="utf-8") as out:  # as the ledger is
                count = Audit(ledger).export(out, since, until)
        except OSError as error:
            raise BackendError(f"{file}: cannot be written ({error.strerror})", "choose another file") from error
    tell(f"{count:,} entries in {file}")


@audit_app.command("redact")
def audit_redact(
    ids: Annotated[list[str], typer.Argument(help="Exchanges, by id.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    by: Annotated[str, typer.Option(help="Who; without, the user of this machine.")] = "",
    project: At = HERE,
    overrides: Set = None,
) -> None:
    """Take content and user out of exchanges for ever; that it was done is an entry itself, and the chain holds."""
    import getpass

    from inhouse.store.audit import Audit

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        for id in ids:
            seq = Audit(ledger).redact(id, by or getpass.getuser(), reason)
            tell(f"{id} is redacted; entry {seq} says so")
