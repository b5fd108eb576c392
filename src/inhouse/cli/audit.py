"""The commands of the audit log: show, actions, egress, verify, export, redact. Nothing heavy at import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, plain, print_json, short, tell, workspace_of

audit_app = typer.Typer(no_args_is_help=True, help="Audit log of questions, answers, and actions.")
Since = Annotated[
    str, typer.Option(metavar="TIME", help="From this day or time on, such as 2026-01-31 or 2026-01-31T12:00Z.")
]
Until = Annotated[str, typer.Option(metavar="TIME", help="Before this day or time.")]


@audit_app.command("show")
def audit_show(
    id: Annotated[
        str, typer.Argument(help="ID of one exchange, to print it in full; by default the latest are listed.")
    ] = "",
    since: Since = "",
    until: Until = "",
    user: Annotated[str, typer.Option(help="Only exchanges of this user.")] = "",
    text: Annotated[str, typer.Option(help="Only exchanges that contain this text.")] = "",
    release: Annotated[str, typer.Option(metavar="NAME/VERSION", help="Only answers of this release.")] = "",
    limit: Annotated[int, typer.Option(help="Maximum number of exchanges.", min=1)] = 20,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Show questions and answers, newest first."""
    from inhouse.cli.terminal import print_line
    from inhouse.errors import InputError
    from inhouse.store.audit import Audit

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        audit = Audit(ledger)
        if id:
            exchange = audit.get(id)
            if exchange is None:
                raise InputError(f"{id}: no such exchange", "run `inhouse audit show` to list the latest")
            print_json(exchange.model_dump(mode="json"))
            return
        exchanges = audit.find(since=since, until=until, user=user, text=text, release=release, limit=limit)
    if as_json:
        print_json([{"seq": seq, **exchange.model_dump(mode="json")} for seq, exchange in exchanges])
        return
    for seq, e in exchanges:
        who = f"{seq:7}  {e.at[:19]}  {e.id}  {e.user or '-'}  {e.release or e.model}  {e.reason}  {e.latency_s:.1f} s"
        question = next((m.content for m in reversed(e.messages) if m.role == "user"), "")
        for line, style in ((who, "bold"), (f"  > {short(question)}", ""), (f"  < {short(e.answer)}", "dim")):
            print_line(plain(line), style)


@audit_app.command("verify")
def audit_verify(
    head: Annotated[
        str, typer.Option(metavar="SEQ:HASH", help="Head from an earlier run, which must still be in the chain.")
    ] = "",
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Verify the audit log and print the head of its chain; exit with code 5 if an entry was changed or removed.

    Keys, inbox, feedback, and releases must also match the recorded actions, and heads that were anchored must still be
    in the chain. To check a head that you kept yourself, pass it with --head.
    """
    from inhouse.errors import GateError
    from inhouse.serving.releases import Releases
    from inhouse.serving.start import anchor_place
    from inhouse.store.anchors import kept_heads
    from inhouse.store.audit import Audit

    workspace = workspace_of(project, overrides, quiet=True)
    with workspace.ledger() as ledger:
        place = anchor_place(workspace)
        kept = kept_heads(Audit(ledger), place) if place else []
        with Releases(workspace).still() as others:
            result = Audit(ledger).verify(head, *(k.head for k in kept), others=others)
    if as_json:
        print_json(result.model_dump(mode="json"))
    if not result.ok:
        if "outside of inhouse" in result.reason:
            last = f"; entry {result.broken_at} has its last recorded change" if result.broken_at else ""
            raise GateError(
                f"{result.reason}{last}", "all entries are intact: see `inhouse audit actions`, and undo the change"
            )
        hint = "compare it with a backup or an export; the entries before it are intact"
        where = f" at entry {result.broken_at}" if result.broken_at else ""
        raise GateError(f"the audit log is broken{where}: {result.reason}", hint)
    if not as_json:
        elsewhere = "Keep a copy of this head elsewhere, or set audit.anchor:"
        if kept:
            heads = "1 anchored head matches" if len(kept) == 1 else f"{len(kept):,} anchored heads match"
            elsewhere = f"{heads}, the oldest from {kept[0].at[:16]}. The head now:"
        tell(f"{result.rows:,} entries are intact. {elsewhere}")
        print(result.head)


@audit_app.command("anchor")
def audit_anchor(project: At = HERE, overrides: Set = None) -> None:
    """Anchor the head of the log now (see the setting audit.anchor); running servers do so regularly."""
    from inhouse.errors import ConfigError
    from inhouse.serving.start import anchor_place
    from inhouse.store.anchors import anchor
    from inhouse.store.audit import Audit

    workspace = workspace_of(project, overrides, quiet=True)
    if (place := anchor_place(workspace)) is None:
        raise ConfigError(
            "audit.anchor is not set", "for example, set it to file:/mnt/elsewhere/heads.jsonl in [audit]"
        )
    with workspace.ledger() as ledger:
        print(anchor(Audit(ledger), place))


@audit_app.command("actions")
def audit_actions(
    since: Since = "",
    until: Until = "",
    about: Annotated[str, typer.Option(help="Only actions on this key or exchange, by its ID.")] = "",
    limit: Annotated[int, typer.Option(help="Maximum number of actions.", min=1)] = 50,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Show what people did, newest first: sign-ins, keys, releases, inbox, feedback, exports, server starts."""
    from inhouse.cli.terminal import print_line
    from inhouse.store.audit import Audit

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        actions = Audit(ledger).actions(since, until, about, limit)
    if as_json:
        print_json([action.model_dump(mode="json") for action in actions])
        return
    for a in actions:
        who = f"{a.by.name or '-'} ({a.by.id or '-'}) from {a.by.at or '-'}"
        facts = "  ".join(f"{k}={v}" for k, v in (a.facts or {}).items() if v not in ("", None, [], {}))
        print_line(plain(f"{a.seq:7}  {a.at[:19]}  {a.what}  {a.about}  by {who}  {short(facts)}"))


@audit_app.command("egress")
def audit_egress(
    since: Since = "",
    until: Until = "",
    upstream: Annotated[str, typer.Option(help="Only what was sent to this upstream.")] = "",
    policy: Annotated[str, typer.Option(help="Only under this policy: surrogates or clear.")] = "",
    exchange: Annotated[str, typer.Option(metavar="ID", help="Only what this exchange sent.")] = "",
    limit: Annotated[int, typer.Option(help="Maximum number of entries.", min=1)] = 50,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Show what was sent to models elsewhere, newest first: digests and counts, no text."""
    from inhouse.cli.terminal import print_line
    from inhouse.store.egress import what_left

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        entries = what_left(ledger, since, until, upstream, policy, exchange, limit)
    if as_json:
        print_json([left.model_dump(mode="json") for left in entries])
        return
    for left in entries:
        e = left.egress
        who = f"{left.seq:7}  {left.at[:19]}  {e.exchange or '-'}  {e.upstream}  {e.policy}  {e.bytes:,} bytes"
        who += f"  {left.key}" if left.key else ""
        facts = {"replaced": e.replaced, "removed": e.removed, "passages": left.passages}
        said = "  ".join(f"{k}: {_counts(v)}" for k, v in facts.items() if v)
        dropped = f"  not sent: {', '.join(e.dropped)}" if e.dropped else ""
        print_line(plain(who), "bold")
        print_line(plain(f"  sha256 {e.sha256[:16]}  {said}{dropped}"))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


@audit_app.command("export")
def audit_export(
    file: Annotated[Path | None, typer.Argument(help="JSONL file to write; by default standard output.")] = None,
    since: Since = "",
    until: Until = "",
    project: At = HERE,
    overrides: Set = None,
) -> None:
    """Export entries as JSONL, with everything needed to verify them."""
    from inhouse.errors import BackendError
    from inhouse.files import replacing
    from inhouse.store.audit import Audit

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        if file is None:
            count = Audit(ledger).export(sys.stdout, since, until)
            Audit(ledger).act("audit exported", facts={"entries": count, "since": since, "until": until})
            return
        try:
            # Readable only by the owner, like the ledger.
            with replacing(file, 0o600) as partial, partial.open("w", encoding="utf-8") as out:
                count = Audit(ledger).export(out, since, until)
                facts = {"entries": count, "since": since, "until": until, "file": str(file.absolute())}
                Audit(ledger).act("audit exported", facts=facts)
        except OSError as error:
            raise BackendError(f"{file}: cannot be written ({error.strerror})", "choose another file") from error
    tell(f"Wrote {count:,} entries to {file}")


@audit_app.command("redact")
def audit_redact(
    ids: Annotated[list[str], typer.Argument(help="IDs of the exchanges.")],
    reason: Annotated[str, typer.Option(help="The reason; it is recorded.")],
    by: Annotated[str, typer.Option(help="Person who redacts; by default the user logged in to this machine.")] = "",
    project: At = HERE,
    overrides: Set = None,
) -> None:
    """Permanently erase the content and user of exchanges. The redaction is recorded, and the chain stays valid."""
    import getpass

    from inhouse.store.audit import Audit

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        for id in ids:
            seq = Audit(ledger).redact(id, by or getpass.getuser(), reason)
            tell(f"Redacted {id}; recorded in entry {seq}")
