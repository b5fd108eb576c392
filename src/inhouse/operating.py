"""The verbs of a model in use: release, serve, keys, audit; `cli` adds them to its own. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from inhouse.gateway.state import State
    from inhouse.pipeline import Site


def add_to(app: typer.Typer) -> None:
    """Adds these verbs to the command line."""
    app.command()(serve)


# --- serve ------------------------------------------------------------------------------------------------------


def serve(
    project: Annotated[Path, typer.Option("--project", "-p", help="Folder of inhouse.toml, or the file.")] = Path(),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, gateway.waiting=8.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; gateway.host says where else.")] = "",
    port: Annotated[int, typer.Option(help="Port, 0 for any; gateway.port says where else.")] = -1,
    workers: Annotated[int, typer.Option(help="Processes; gateway.workers says where else.")] = 0,
    inherited: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Answer over HTTP, in OpenAI's wire format, with the release in production."""
    import os

    from inhouse.cli import site_of
    from inhouse.gateway import server
    from inhouse.releases import Releases

    given = {"host": host, "port": str(port) if port >= 0 else "", "workers": str(workers) if workers else ""}
    settings = [*(overrides or ()), *(f"gateway.{key}={value}" for key, value in given.items() if value)]
    site = site_of(project, settings, False)
    told = site.project.gateway
    if inherited:  # a worker: the socket and the file of the rates come from the parent
        socket, rates = (int(number) for number in inherited.split(","))
        server.serve(_state(site, rates), server.inherit(socket), lambda: None, parent=os.getppid())
        return
    release = Releases(site).get("production")
    bound = server.listen(told.host, told.port)
    address = server.address_of(bound)
    first = _first_key(site)

    def ready() -> None:
        print(f"Serving {release.name}/{release.version} ({release.arm}) at {address}/v1", flush=True)
        if first:
            print(f"First admin key, shown this once: {first}", flush=True)

    if told.workers == 1:
        server.serve(_state(site), bound, ready)
        return
    ready()
    options = [part for text in settings for part in ("--set", text)]

    def worker(socket: int, rates: int) -> list[str]:
        return server.again("serve", "--project", str(project), *options, "--inherited", f"{socket},{rates}")

    server.supervise(worker, told.workers, bound)


def _first_key(site: Site) -> str:
    """The secret of an admin's key, made where there is no key yet; else empty."""
    from inhouse.keeping import ledger_of
    from inhouse.store.keys import Keys

    ledger = ledger_of(site.project)
    try:
        keys = Keys(ledger)
        return "" if keys.all() else keys.create("first admin", "admin")[1]
    finally:
        ledger.close()


def _state(site: Site, rates: int | None = None) -> State:
    """All that a process of the gateway holds."""
    from inhouse.gateway.limits import Rates
    from inhouse.gateway.metrics import Traces
    from inhouse.gateway.state import State
    from inhouse.keeping import ledger_of
    from inhouse.models.fallback import upstreams
    from inhouse.serving import Fleet
    from inhouse.store.audit import Audit
    from inhouse.store.feedback import Feedback
    from inhouse.store.inbox import Inbox
    from inhouse.store.keys import Keys
    from inhouse.store.traffic import Traffic
    from inhouse.types import ChatModel

    def local(name: str) -> ChatModel:
        return fleet.model(name)

    fleet = Fleet(site, upstreams(site.project.upstream, local))
    ledger = ledger_of(site.project)
    return State(
        site.project, fleet, Audit(ledger), Keys(ledger), Inbox(ledger), Feedback(ledger), Traffic(ledger),
        embedder=site.embedder, rates=Rates(rates), traces=Traces(site.project.gateway.traces_url),
    )  # fmt: skip
