"""The commands of releases: create, promote, canary, rollback, verify, list, show. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inhouse.serving.pins import Checked
    from inhouse.serving.releases import Releases
    from inhouse.serving.state import Serving
    from inhouse.types import Release

Which = Annotated[str, typer.Argument(help="A version, NAME/VERSION, or production; by default the newest release.")]

release_app = typer.Typer()


def share_of(percent: str, example: str) -> float:
    """A share as people write it, such as 10%, in percent.

    Raises:
        ConfigError: it is no number; `example` is a command with one.
    """
    from inhouse.errors import ConfigError

    try:
        return float(percent.rstrip(" %"))
    except ValueError:
        raise ConfigError(f"{percent}: not a percentage", f"for example: {example}") from None


def releases_of(project: Path, overrides: list[str] | None = None) -> Releases:
    """The releases of a project, opened."""
    from inhouse.serving.releases import Releases

    return Releases(workspace_of(project, overrides, quiet=True))


def refuse_damage(release: Release, checked: Sequence[Checked]) -> None:
    """
    Raises:
        GateError: a file of the release is not as measured.
    """
    from inhouse.errors import GateError

    if wrong := next((c.problem for c in checked if c.problem), ""):
        hint = "restore the file from a backup, or build and release again"
        raise GateError(f"release {release.name}/{release.version} is not what was measured: {wrong}", hint)


@release_app.callback(invoke_without_command=True)
def release(context: typer.Context, project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Create a release from the latest verdict. If the gate fails, name the rule and exit with code 5."""
    from inhouse.errors import ConfigError

    if context.invoked_subcommand:
        given = (context.get_parameter_source(p) for p in ("project", "overrides", "as_json"))
        if any(source is not None and source.name == "COMMANDLINE" for source in given):
            command = context.invoked_subcommand
            hint = "move them to the end of the line"
            raise ConfigError(f"options must follow the command: inhouse release {command} ...", hint)
        return
    from inhouse.cli.terminal import print_line
    from inhouse.serving.releases import label

    releases = releases_of(project, overrides)
    tell("Creating a release from the latest verdict", as_json)
    before = {r.version for r in releases.all()}
    made = releases.make()
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    exists = " already exists" if made.version in before else ""
    lines = [f"Release {label(made)}{exists}: {made.arm}, verdict {made.report[:8]}. The gate passed:"]
    lines += [f"  {rule.text}" for rule in made.gate]
    lines += [f"To serve it to everyone: inhouse release promote {made.version}"]
    print_line("\n".join(lines))


@release_app.command()
def promote(which: Which = "", project: At = HERE, as_json: AsJson = False) -> None:
    """Serve a release to everyone; a running server switches within a second, without interruption.

    Refused if a file of it is not as measured.
    """
    releases = releases_of(project)
    refuse_damage(releases.get(which), releases.verify(which))
    show_serving(releases.promote(which), as_json)


@release_app.command()
def canary(
    percent: Annotated[str, typer.Argument(help="Share of users, such as 10%.")],
    which: Which = "",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Serve a release to a share of users; the same users stay in the canary as the share grows."""
    share, releases = share_of(percent, "inhouse release canary 10% 3"), releases_of(project)
    refuse_damage(releases.get(which), releases.verify(which))
    show_serving(releases.canary(share, which), as_json)


@release_app.command()
def rollback(project: At = HERE, as_json: AsJson = False) -> None:
    """Remove the canary; without one, return to the previous release in production."""
    show_serving(releases_of(project).rollback(), as_json)


@release_app.command()
def verify(which: Which = "", project: At = HERE, as_json: AsJson = False) -> None:
    """Read every file of a release and compare it with what was measured; exit with code 5 if one differs."""
    from inhouse.cli.terminal import print_line
    from inhouse.serving.pins import OLD

    releases = releases_of(project)
    chosen, checked = releases.get(which), releases.verify(which)
    if as_json:
        print_json([c.model_dump(mode="json") for c in checked])
    for c in () if as_json else checked:
        state = c.problem or (f"{c.files} files as measured" if c.verified else OLD)
        print_line(f"{c.name:32} {state}")
    refuse_damage(chosen, checked)
    if not as_json and not all(c.verified for c in checked):
        tell("To have every file verified, run `inhouse build` and `inhouse release` with this version.")


@release_app.command("list")
def list_releases(project: At = HERE, as_json: AsJson = False) -> None:
    """List the releases and which of them are served."""
    from inhouse.cli.terminal import print_line
    from inhouse.serving.releases import label

    releases = releases_of(project)
    serving, every = releases.serving(), releases.all()
    if as_json:
        print_json([r.model_dump(mode="json", exclude={"settings"}) for r in every])
        return
    places = {serving.production: "production"}
    if serving.canary:
        places[serving.canary.release] = f"canary {serving.canary.percent:g}%"
    for r in every:
        gain = next((rule.text for rule in r.gate if rule.name == "gain"), "")
        text = f"{label(r):24} {r.made_at[:16]}  {r.arm:10} {places.get(label(r), ''):12} {gain}"
        print_line(text.rstrip())
    if not every:
        print_line("No releases yet. `inhouse release` creates one from the latest verdict.")


@release_app.command("show")
def show_release(which: Which = "", project: At = HERE, as_json: AsJson = False) -> None:
    """Show a release: artifacts, settings, gate results, and what was served when."""
    from inhouse.cli.terminal import print_line
    from inhouse.serving.releases import label

    releases = releases_of(project)
    chosen, serving = releases.get(which), releases.serving()
    if as_json:
        print_json({"release": chosen.model_dump(mode="json"), "serving": serving.model_dump(mode="json")})
        return
    lines = [f"{label(chosen)}: {chosen.arm}, created {chosen.made_at}, settings {chosen.config[:8]}"]
    kinds = (
        "weights",
        "adapter",
        "feedback",
        "pretrained",
        "pretrained_adapter",
        "index",
        "fusion",
        "calibration",
        "team",
        "commands",
        "experts",
        "cascade",
        "report",
    )
    lines += [f"  {kind:8} {key}" for kind in kinds
              if (key := getattr(chosen, kind))]  # fmt: skip
    lines += [f"  gate: {rule.text}" for rule in chosen.gate]
    for section, values in chosen.settings.items():
        if isinstance(values, dict):
            lines += [f"  {section}.{key} = {value}" for key, value in values.items()]
    lines += ["What was served:"]
    lines += [f"  {c.at[:19]}  {c.text}; production {c.production or 'none'}" for c in serving.history]
    print_line("\n".join(lines))


def show_serving(serving: Serving, as_json: bool) -> None:
    """Prints what is served now, in one line."""
    from inhouse.cli.terminal import print_line

    if as_json:
        print_json(serving.model_dump(mode="json", exclude={"history"}))
        return
    text = f"production {serving.production}"
    if serving.canary:
        text += f", canary {serving.canary.release} for {serving.canary.percent:g}% of users"
    if shadow := serving.shadow:
        text += f", shadow {shadow.release} for {shadow.percent:g}% of requests"
    if live := serving.experiment:
        total = sum(live.arms.values())
        shares = ", ".join(f"{arm} {100 * weight / total:.0f}%" for arm, weight in live.arms.items())
        text += f"; experiment {live.name!r}: {shares}, decided by {live.metric}"
    if serving.earlier and not serving.canary:
        text += f". A rollback would return to {serving.earlier[-1]}"
    print_line(f"Served now: {text}.")
