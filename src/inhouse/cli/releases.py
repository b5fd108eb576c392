"""The verbs of a model in use: release, experiment, export, serve. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.assembly.workspace import Workspace
    from inhouse.gateway.state import State
    from inhouse.serving.releases import Serving

Which = Annotated[str, typer.Argument(help="A release: its version, NAME/VERSION or production; the newest without.")]
Arms = Annotated[
    list[str] | None, typer.Argument(help="ARM=WEIGHT, an arm being a release or base; the first is compared with.")
]

release_app = typer.Typer()
experiment_app = typer.Typer(no_args_is_help=True, help="Compare releases, or base with one, on live traffic.")


def add_to(app: typer.Typer) -> None:
    """Adds these verbs to the command line."""
    app.add_typer(release_app, name="release")
    app.add_typer(experiment_app, name="experiment")
    app.command()(export)
    app.command()(serve)


def _workspace(project: Path, overrides: list[str] | None = None) -> Workspace:
    return workspace_of(project, overrides, True)


# --- release ----------------------------------------------------------------------------------------------------


@release_app.callback(invoke_without_command=True)
def release(
    context: typer.Context,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    name: Annotated[str, typer.Option(help="Name of the release instead of release.name.")] = "",
) -> None:
    """Make a release of the latest verdict if its gate holds; else exit 5 with the rule that does not."""
    from inhouse.errors import ConfigError

    if context.invoked_subcommand:
        given = (context.get_parameter_source(p) for p in ("project", "overrides", "as_json", "name"))
        if any(source is not None and source.name == "COMMANDLINE" for source in given):
            verb = context.invoked_subcommand
            raise ConfigError(f"options stand after the verb: inhouse release {verb} ...", "move them to the end")
        return
    from inhouse.cli.terminal import out
    from inhouse.serving.releases import Releases, label

    releases = Releases(_workspace(project, overrides))
    tell("Making a release of the latest verdict", as_json)
    before = {r.version for r in releases.all()}
    made = releases.make(name)
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    there = " is there already" if made.version in before else ""
    lines = [f"Release {label(made)}{there}: {made.arm}, verdict {made.report[:8]}. The gate holds:"]
    lines += [f"  {rule['says']}" for rule in made.gate["rules"]]
    lines += [f"`inhouse release promote {made.version}` puts it before users."]
    out.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


@release_app.command()
def promote(which: Which = "", project: At = HERE, as_json: AsJson = False) -> None:
    """Answer everyone with a release; a running `inhouse serve` changes over without a break."""
    from inhouse.serving.releases import Releases

    _show(Releases(_workspace(project)).promote(which), as_json)


@release_app.command()
def canary(
    percent: Annotated[str, typer.Argument(help="Share of the users, such as 10%.")],
    which: Which = "",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Answer a share of the users with a release; who that is stays as the share grows."""
    from inhouse.errors import ConfigError
    from inhouse.serving.releases import Releases

    try:
        share = float(percent.rstrip(" %"))
    except ValueError:
        raise ConfigError(f"{percent}: not a share", "for example: inhouse release canary 10% 3") from None
    _show(Releases(_workspace(project)).canary(share, which), as_json)


@release_app.command()
def rollback(project: At = HERE, as_json: AsJson = False) -> None:
    """Take back the canary, or without one go back to the production before this one."""
    from inhouse.serving.releases import Releases

    _show(Releases(_workspace(project)).rollback(), as_json)


@release_app.command("list")
def list_releases(project: At = HERE, as_json: AsJson = False) -> None:
    """List the releases and say which is served."""
    from inhouse.cli.terminal import out
    from inhouse.serving.releases import Releases, label

    releases = Releases(_workspace(project))
    serving, found = releases.serving(), releases.all()
    if as_json:
        print_json([r.model_dump(mode="json", exclude={"settings"}) for r in found])
        return
    for r in found:
        places = {serving.production: "production", serving.canary: f"canary {serving.canary_percent:g} %"}
        gain = next((rule["says"] for rule in r.gate["rules"] if rule["rule"] == "gain"), "")
        text = f"{label(r):24} {r.made_at[:16]}  {r.arm:10} {places.get(label(r), ''):12} {gain}"
        out.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)
    if not found:
        out.print("No release yet; `inhouse release` makes one of the latest verdict.", markup=False, highlight=False)


@release_app.command("show")
def show_release(which: Which = "", project: At = HERE, as_json: AsJson = False) -> None:
    """Show a release: its artifacts, settings, gate; and what was served when."""
    from inhouse.cli.terminal import out
    from inhouse.serving.releases import Releases, label

    releases = Releases(_workspace(project))
    found, serving = releases.get(which), releases.serving()
    if as_json:
        print_json({"release": found.model_dump(mode="json"), "serving": serving.model_dump(mode="json")})
        return
    lines = [f"{label(found)}: {found.arm}, made {found.made_at}, settings {found.config[:8]}"]
    lines += [f"  {kind:8} {key}" for kind in ("weights", "adapter", "index", "fusion", "calibration", "report")
              if (key := getattr(found, kind))]  # fmt: skip
    lines += [f"  gate: {rule['says']}" for rule in found.gate["rules"]]
    for section, values in found.settings.items():
        if isinstance(values, dict):
            lines += [f"  {section}.{key} = {value}" for key, value in values.items()]
    lines += ["What was served:", *(f"  {_entry(e)}" for e in serving.history)]
    out.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _entry(entry: dict[str, Any]) -> str:
    return f"{entry['at'][:19]}  {entry['did']}: production {entry['production'] or 'none'}"


def _show(serving: Serving, as_json: bool) -> None:
    """What is served now, in one line."""
    from inhouse.cli.terminal import out

    if as_json:
        print_json(serving.model_dump(mode="json", exclude={"history"}))
        return
    text = f"production {serving.production}"
    if serving.canary:
        text += f", canary {serving.canary} for {serving.canary_percent:g} % of the users"
    if live := serving.experiment:
        total = sum(live.arms.values())
        shares = ", ".join(f"{arm} {100 * weight / total:.0f} %" for arm, weight in live.arms.items())
        text += f"; experiment {live.name!r}: {shares}, decided by {live.metric}"
    if serving.earlier and not serving.canary:
        text += f". A rollback would go to {serving.earlier[-1]}"
    out.print(f"Served now: {text}.", markup=False, highlight=False, soft_wrap=True)


# --- experiment -------------------------------------------------------------------------------------------------


@experiment_app.command()
def start(
    arms: Arms = None,
    name: Annotated[str, typer.Option(help="Name of the experiment instead of experiment.name.")] = "",
    metric: Annotated[str, typer.Option(help="The outcome that decides instead of experiment.metric.")] = "",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Split the users of `custom`: the arms given, or those of the project file, else base against production."""
    from inhouse.serving.releases import Releases

    _show(Releases(_workspace(project)).start(name, _weights(arms), metric), as_json)


@experiment_app.command()
def weights(arms: Arms = None, project: At = HERE, as_json: AsJson = False) -> None:
    """Change the weights of the live experiment; its figures begin anew, as the split is another."""
    from inhouse.serving.releases import Releases

    _show(Releases(_workspace(project)).weights(_weights(arms)), as_json)


@experiment_app.command()
def stop(project: At = HERE, as_json: AsJson = False) -> None:
    """End the live experiment: everyone gets production again."""
    from inhouse.serving.releases import Releases

    _show(Releases(_workspace(project)).stop(), as_json)


@experiment_app.command("show")
def show_experiment(
    name: Annotated[str, typer.Argument(help="Its name; the live one, or the canary, without.")] = "",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Show what an experiment says so far; it may be looked at, and stopped on what it says, at any time."""
    from inhouse.cli.keys import ledger_of
    from inhouse.cli.terminal import out
    from inhouse.serving.releases import Releases
    from inhouse.store.traffic import Traffic

    workspace = _workspace(project)
    releases = Releases(workspace)
    asked = releases.experiment(name)
    ledger = ledger_of(workspace.project)
    try:
        found = releases.so_far(asked, Traffic(ledger).outcomes(asked.name))
    finally:
        ledger.close()
    if as_json:
        print_json(found)
        return
    out.print(_table(found))
    out.print(found["verdict"], markup=False, highlight=False, style="bold")


def _weights(arms: list[str] | None) -> dict[str, float]:
    from inhouse.errors import ConfigError

    found = {}
    for text in arms or ():
        arm, equals, weight = text.rpartition("=")
        try:
            found[arm] = float(weight)
        except ValueError:
            equals = ""
        if not equals:
            raise ConfigError(f"{text}: not ARM=WEIGHT", "for example: base=1 production=1")
    return found


def _table(found: dict[str, Any]) -> Any:
    """Arms by outcomes, then each other arm's difference from the first."""
    from rich import box
    from rich.table import Table

    from inhouse.monitoring.experiments import METRICS, in_words

    table = Table(title=f"experiment {found['name']!r}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for arm, row in found["arms"].items():
        table.add_column(f"{arm}\n{row['users']} users", justify="right")
    for arm in found["comparisons"]:
        table.add_column(f"{arm}\nover the first", justify="right")
    for name, metric in METRICS.items():
        means = [row["metrics"][name]["mean"] for row in found["arms"].values()]
        shown = ["" if m is None else f"{m:.4g}" if metric.ratio else f"{100 * m:.1f} %" for m in means]
        differences = [in_words(name, rows[name]) for rows in found["comparisons"].values()]
        table.add_row(f"{name}{' (decides)' if name == found['metric'] else ''}", *shown, *differences)
    return table


# --- export -----------------------------------------------------------------------------------------------------


def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    which: Annotated[str, typer.Option("--release", help="Version or NAME/VERSION; the newest without.")] = "",
    form: Annotated[str, typer.Option(help="merged, or adapter: the base with the LoRA adapter beside it.")] = "merged",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Write a release's model into a folder that runs without inhouse: Ollama, vLLM, llama.cpp."""
    from inhouse.cli.terminal import out
    from inhouse.serving.export import export as exported
    from inhouse.serving.releases import Releases, label

    workspace = _workspace(project)
    found = Releases(workspace).get(which)
    tell(f"Writing {label(found)} into {folder}", as_json)
    files = exported(workspace, found, folder, form)
    if as_json:
        print_json({"release": label(found), "folder": str(folder), "files": files})
        return
    for name, size in files.items():
        out.print(f"  {size / 2**20:8.1f} MB  {name}", markup=False, highlight=False)
    out.print(f"{folder}/README.md says how to run it.", markup=False, highlight=False, soft_wrap=True)


# --- serve ------------------------------------------------------------------------------------------------------


def serve(
    project: At = HERE,
    overrides: Set = None,
    host: Annotated[str, typer.Option(help="Address to listen at; gateway.host says where else.")] = "",
    port: Annotated[int, typer.Option(help="Port, 0 for any; gateway.port says where else.")] = -1,
    workers: Annotated[int, typer.Option(help="Processes; gateway.workers says where else.")] = 0,
    inherited: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Answer over HTTP, in OpenAI's wire format, with the release in production."""
    import os

    from inhouse.gateway import server
    from inhouse.serving.releases import Releases

    given = {"host": host, "port": str(port) if port >= 0 else "", "workers": str(workers) if workers else ""}
    settings = [*(overrides or ()), *(f"gateway.{key}={value}" for key, value in given.items() if value)]
    workspace = workspace_of(project, settings, False)
    told = workspace.project.gateway
    if inherited:  # a worker: the socket and the file of the rates come from the parent
        socket, rates = (int(number) for number in inherited.split(","))
        server.serve(_state(workspace, rates), server.inherit(socket), lambda: None, parent=os.getppid())
        server.leave()
    release = Releases(workspace).get("production")
    bound = server.listen(told.host, told.port)
    address = server.address_of(bound)
    first = _first_key(workspace)

    def ready() -> None:
        print(f"Serving {release.name}/{release.version} ({release.arm}) at {address}/v1", flush=True)
        if first:
            print(f"First admin key, shown this once: {first}", flush=True)

    if told.workers == 1:
        server.serve(_state(workspace), bound, ready)
        server.leave()
    ready()
    options = [part for text in settings for part in ("--set", text)]

    def worker(socket: int, rates: int) -> list[str]:
        return server.again("serve", "--project", str(project), *options, "--inherited", f"{socket},{rates}")

    server.supervise(worker, told.workers, bound)


def _first_key(workspace: Workspace) -> str:
    """The secret of an admin's key, made where there is no key yet; else empty."""
    from inhouse.cli.keys import ledger_of
    from inhouse.store.keys import Keys

    ledger = ledger_of(workspace.project)
    try:
        keys = Keys(ledger)
        return "" if keys.all() else keys.create("first admin", "admin")[1]
    finally:
        ledger.close()


def _state(workspace: Workspace, rates: int | None = None) -> State:
    """All that a process of the gateway holds."""
    from inhouse.chat import ChatModel
    from inhouse.cli.keys import ledger_of
    from inhouse.gateway.limits import Rates
    from inhouse.gateway.metrics import Traces
    from inhouse.gateway.state import State
    from inhouse.models.fallback import upstreams
    from inhouse.serving.fleet import Fleet
    from inhouse.serving.insight import WorkspaceInsight
    from inhouse.store.audit import Audit
    from inhouse.store.feedback import Feedback
    from inhouse.store.inbox import Inbox
    from inhouse.store.keys import Keys
    from inhouse.store.traffic import Traffic

    def local(name: str) -> ChatModel:
        return fleet.model(name)

    fleet = Fleet(workspace, upstreams(workspace.project.upstream, local))
    ledger = ledger_of(workspace.project)
    traffic = Traffic(ledger)
    return State(
        workspace.project, fleet, Audit(ledger), Keys(ledger), Inbox(ledger), Feedback(ledger), traffic,
        embedder=workspace.embedder, insight=WorkspaceInsight(workspace, traffic), rates=Rates(rates),
        traces=Traces(workspace.project.gateway.traces_url),
    )  # fmt: skip
