"""The verbs of what is kept: API keys and the audit; `cli` adds them to its own. Nothing heavy at import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.config.sections import Project
    from inhouse.store.ledger import Ledger

keys_app = typer.Typer(no_args_is_help=True, help="API keys: who may ask, as what, until when.")
audit_app = typer.Typer(no_args_is_help=True, help="What was asked and answered: show, verify, export, redact.")

Role = Literal["admin", "reviewer", "user"]
Since = Annotated[str, typer.Option(metavar="TIME", help="From this day or time on, 2026-01-31 or 2026-01-31T12:00Z.")]
Until = Annotated[str, typer.Option(metavar="TIME", help="Before this day or time.")]


def add_to(app: typer.Typer) -> None:
    """Adds these verbs to the command line."""
    app.add_typer(keys_app, name="keys")
    app.add_typer(audit_app, name="audit")


def ledger_of(project: Project) -> Ledger:
    """The project's database, opened.

    Raises:
        ConfigError: the variable that url_env names is not set, or the URL is none.
        BackendError: the database cannot be opened.
    """
    from inhouse.store.ledger import open_ledger

    told = project.store
    return open_ledger(project.path(told.path), told.url, told.url_env)


@contextmanager
def _ledger(project: Path, overrides: list[str] | None) -> Iterator[Ledger]:
    ledger = ledger_of(workspace_of(project, overrides, quiet=True).project)
    try:
        yield ledger
    finally:
        ledger.close()


# --- keys -------------------------------------------------------------------------------------------------------


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    role: Annotated[Role, typer.Option(help="admin: everything; reviewer: inbox, data, audit; user: ask.")] = "user",
    group: Annotated[list[str] | None, typer.Option(help="An access group it may read; repeat for more.")] = None,
    expires_at: Annotated[str, typer.Option(metavar="TIME", help="When it ends; without, it does not.")] = "",
    per_minute: Annotated[int, typer.Option(help="Most requests a minute; 0 is no limit.")] = 0,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key; its secret is printed once and kept nowhere."""
    from inhouse.store.keys import Keys

    with _ledger(project, overrides) as ledger:
        key, secret = Keys(ledger).create(name, role, group or (), expires_at, per_minute)
    if as_json:
        print_json(key.model_dump(mode="json") | {"secret": secret})
        return
    tell(f"Key {key.id} for {key.name} ({key.role}). Its secret is shown this once:")
    print(secret)


@keys_app.command("list")
def keys_list(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    from inhouse.cli.terminal import out
    from inhouse.store.keys import Keys

    with _ledger(project, overrides) as ledger:
        found = Keys(ledger).all()
    if as_json:
        print_json([key.model_dump(mode="json") for key in found])
        return
    for key in found:
        until = f"revoked {key.revoked_at[:10]}" if key.revoked_at else f"until {key.expires_at[:10] or 'revoked'}"
        rate = f"{key.per_minute} a minute" if key.per_minute else "no limit"
        line = f"{key.id}  {key.role:8}  {until:18}  {rate:14}  {key.name}  {' '.join(key.groups)}"
        out.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


@keys_app.command("revoke")
def keys_revoke(
    id: Annotated[str, typer.Argument(help="The key's id, from `inhouse keys list`.")],
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """End a key for ever; running servers refuse it some seconds later."""
    from inhouse.store.keys import Keys

    with _ledger(project, overrides) as ledger:
        key = Keys(ledger).revoke(id)
    if as_json:
        print_json(key.model_dump(mode="json"))
    else:
        tell(f"Key {key.id} of {key.name} is revoked")


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

    with _ledger(project, overrides) as ledger:
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

    with _ledger(project, overrides) as ledger:
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
    from inhouse.store.audit import Audit

    with _ledger(project, overrides) as ledger:
        if file is None:
            Audit(ledger).export(sys.stdout, since, until)
            return
        partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        try:
            # For the owner alone, as the ledger is.
            with open(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
                count = Audit(ledger).export(out, since, until)
            os.replace(partial, file)
        except OSError as error:
            raise BackendError(f"{file}: cannot be written ({error.strerror})", "choose another file") from error
        finally:
            partial.unlink(missing_ok=True)
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

    with _ledger(project, overrides) as ledger:
        for id in ids:
            seq = Audit(ledger).redact(id, by or getpass.getuser(), reason)
            tell(f"{id} is redacted; entry {seq} says so")
