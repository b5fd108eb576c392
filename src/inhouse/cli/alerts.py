"""The commands of alerts: test, list. Nothing heavy at import."""

from __future__ import annotations

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, plain, print_json, tell, workspace_of

alerts_app = typer.Typer(no_args_is_help=True, help="Alerts by webhook, mail, and chat: test, list.")


@alerts_app.command("test")
def send_test(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Send a test alert to every channel of the project; exit with code 4 if one does not take it."""
    from inhouse.errors import BackendError
    from inhouse.serving.alerts import Alerts

    workspace = workspace_of(project, overrides, quiet=True)
    tell("Sending a test alert to every channel", as_json)
    with workspace.ledger() as ledger:
        found = Alerts(workspace.project, ledger).test()
    if as_json:
        print_json(found)
    for name, why in () if as_json else found.items():
        print(f"{name:10} {why or 'sent'}")
    if wrong := [f"{name}: {why}" for name, why in found.items() if why]:
        raise BackendError(f"the test alert was not delivered ({wrong[0]})", "check the keys of [alerts]")


@alerts_app.command("list")
def list_alerts(project: At = HERE, as_json: AsJson = False) -> None:
    """List the last alerts and what became of their delivery."""
    from inhouse.store.alerts import AlertBox

    workspace = workspace_of(project, None, quiet=True)
    with workspace.ledger() as ledger:
        found = AlertBox(ledger).recent()
    if as_json:
        print_json([kept.model_dump(mode="json") for kept in found])
        return
    for kept in found:
        state = f"{kept.status}: {kept.failure}" if kept.failure and kept.left else kept.status
        print(plain(f"{kept.at[:19]}  {kept.alert.severity:8}  {kept.alert.title}  ({state})"))
    if not found:
        print("No alerts yet.")
