"""The command of approved replies: list. Imports nothing heavy."""

from __future__ import annotations

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, plain, print_json, short, tell, workspace_of

reuse_app = typer.Typer(no_args_is_help=True, help="Approved replies that answer the same question again.")


@reuse_app.callback()
def reuse() -> None:
    """Approved replies that answer the same question again."""


@reuse_app.command("list")
def reuse_list(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show the approved replies, oldest first: valid, expired, void, or private, and why.

    A reply is void when a document that its question found is gone or has changed in the index of the release in
    production, and private when it has personal data or is about one person's case. Only valid ones are used.
    """
    from inhouse.cli.terminal import print_line
    from inhouse.serving.reuse import standings

    workspace = workspace_of(project, overrides, quiet=True)
    found = standings(workspace)
    if as_json:
        print_json([standing.model_dump(mode="json") for standing in found])
        return
    for standing in found:
        reply = standing.reply
        head = f"{standing.status:8} until {standing.until[:10]}  {reply.id}  by {reply.by or '-'}"
        print_line(plain(f"{head}  {standing.reason}"), "bold")
        print_line(plain(f"  > {short(reply.question)}"))
        print_line(plain(f"  < {short(reply.answer)}"), "dim")
    used = sum(standing.status == "valid" for standing in found)
    off = "" if workspace.project.reuse.enabled else "; none is used, because reuse.enabled is false"
    tell(f"{used} of {len(found)} approved replies are valid{off}")
