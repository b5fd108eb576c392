"""The commands of API keys: create, list, revoke. Nothing heavy at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    pass

keys_app = typer.Typer(no_args_is_help=True, help="API keys: who may ask, as what, until when.")

Role = Literal["admin", "reviewer", "user"]


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

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
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

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
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

    with workspace_of(project, overrides, quiet=True).ledger() as ledger:
        key = Keys(ledger).revoke(id)
    if as_json:
        print_json(key.model_dump(mode="json"))
    else:
        tell(f"Key {key.id} of {key.name} is revoked")
