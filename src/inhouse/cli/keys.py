"""The commands of API keys and sign-ins: create, list, revoke, sessions, sign-out. Nothing heavy at import."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

keys_app = typer.Typer(no_args_is_help=True, help="API keys, and who is signed in to the console.")

Role = Literal["admin", "reviewer", "auditor", "user", "device"]


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Who or what will use the key.")],
    role: Annotated[
        Role,
        typer.Option(
            help="user: ask; auditor: also the audit log; reviewer: also inbox, data, knowledge, answers; admin: all; "
            "device: only edge sync."
        ),
    ] = "user",
    group: Annotated[
        list[str] | None, typer.Option(help="Access group whose documents it may read; repeat for more.")
    ] = None,
    expires_at: Annotated[str, typer.Option(metavar="TIME", help="When the key expires; by default never.")] = "",
    per_minute: Annotated[
        int, typer.Option(help="Maximum requests per minute; 0 means gateway.key_per_minute.", min=0)
    ] = 0,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key and print its secret once; only a hash of it is stored."""
    from inhouse.store.keys import Keys

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        key, secret = Keys(ledger).create(name, role, group or (), expires_at, per_minute)
    if as_json:
        print_json(key.model_dump(mode="json") | {"secret": secret})
        return
    tell(f"Key {key.id} for {key.name} ({key.role}). Its secret is shown only once:")
    print(secret)


@keys_app.command("list")
def keys_list(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    from inhouse.cli.terminal import print_line
    from inhouse.store.keys import Keys

    workspace = workspace_of(project, overrides, quiet=True)
    with workspace.ledger() as ledger:
        keys = Keys(ledger).all()
    if as_json:
        print_json([key.model_dump(mode="json") for key in keys])
        return
    for key in keys:
        until = f"revoked {key.revoked_at[:10]}" if key.revoked_at else f"until {key.expires_at[:10] or 'revoked'}"
        per_minute = key.per_minute or workspace.project.gateway.key_per_minute
        rate = f"{per_minute}/min" if per_minute else "unlimited"
        line = f"{key.id}  {key.role:8}  {until:18}  {rate:10}  {key.name}  {' '.join(key.groups)}"
        print_line(line.rstrip())


@keys_app.command("revoke")
def keys_revoke(
    id: Annotated[str, typer.Argument(help="ID of the key, from `inhouse keys list`.")],
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key permanently; running servers refuse it within a few seconds."""
    from inhouse.store.keys import Keys

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        key = Keys(ledger).revoke(id)
    if as_json:
        print_json(key.model_dump(mode="json"))
    else:
        tell(f"Revoked key {key.id} of {key.name}")


@keys_app.command("sessions")
def keys_sessions(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """List who is signed in to the console."""
    from inhouse.cli.terminal import print_line
    from inhouse.store.sessions import Sessions

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        sessions = Sessions(ledger).all()
    if as_json:
        print_json([session.model_dump(mode="json") for session in sessions])
        return
    for s in sessions:
        print_line(f"{s.id}  {s.key:14}  since {s.began_at[:16]}  last seen {s.seen_at[:16]}  {s.name}")


@keys_app.command("sign-out")
def keys_sign_out(
    which: Annotated[str, typer.Argument(help="ID of a session or of a key, oidc:SUBJECT, or all.")],
    project: At = HERE,
    overrides: Set = None,
) -> None:
    """End sessions of the console at once, on all servers."""
    from inhouse.store.sessions import Sessions

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        count = Sessions(ledger).stop(which)
    tell(f"Ended {count} session{'' if count == 1 else 's'}")
