"""The commands of the watch: watch itself, status, compare, mark, build, accept. Nothing heavy at import."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, plain, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.assembly.workspace import Workspace
    from inhouse.monitoring.triggers import Decision
    from inhouse.serving.watched import State, Waiting
    from inhouse.serving.watching import Watch

watch_app = typer.Typer()
DECISIONS = 10  # that `status` shows with --json


@watch_app.callback(invoke_without_command=True)
def watch(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Look once and end, for cron or a systemd timer.")] = False,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Keep the project good over time: index changed documents at once, and build when waiting costs more."""
    from inhouse.errors import ConfigError

    if context.invoked_subcommand:
        given = (context.get_parameter_source(p) for p in ("project", "overrides", "as_json", "once"))
        if any(source is not None and source.name == "COMMANDLINE" for source in given):
            command = context.invoked_subcommand
            hint = "move them to the end of the line"
            raise ConfigError(f"options must follow the command: inhouse watch {command} ...", hint)
        return
    _stop_on_terminate()
    workspace = workspace_of(project, overrides, as_json)
    opened = _watch(workspace, as_json)
    if once:
        _print_status(opened.once(), [], as_json)
        return
    tell(f"Watching {workspace.project.path(workspace.project.documents.path)}; Ctrl-C ends it", as_json)
    opened.run()


@watch_app.command("status")
def watch_status(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show what the watch does, its last decision with its figures, and what waits for a person."""
    from inhouse.serving.watched import Memory

    memory = Memory(workspace_of(project, overrides, True).store.root)
    _print_status(memory.read(), memory.decisions(DECISIONS), as_json)


@watch_app.command("compare")
def watch_compare(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show question by question what the latest new index or build made better and worse."""
    from pathlib import Path

    from inhouse.cli.terminal import print_line
    from inhouse.errors import InputError
    from inhouse.monitoring.retests import Retest

    made = workspace_of(project, overrides, True).store.latest("retest")
    if made is None:
        raise InputError("nothing was compared yet", "`inhouse watch` compares each new index and build")
    found = Retest.read(Path(made.path))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    lines = [found.text]
    for title, rows in (("worse", found.worse), ("better", found.better), ("outdated", found.outdated)):
        for row in rows:
            lines += [f"{title}: {row.question}", f"    reference: {row.reference}"]
            lines += [f"    {name} ({told.outcome}): {told.text}" for name, told in
                      (("before", row.before), ("after", row.after))]  # fmt: skip
    print_line("\n".join(plain_lines(lines)))


@watch_app.command("mark")
def watch_mark(
    text: Annotated[str, typer.Argument(help="What changed, such as a regulator's rule.")],
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Mark a change that the next build must learn; recorded in the audit log, and a reason to build at once."""
    from inhouse.serving.watching import mark

    number = mark(workspace_of(project, None, True), text)
    if as_json:
        print_json({"entry": number})
    else:
        print(f"Marked, entry {number} of the audit log. The next look of `inhouse watch` decides on a build.")


@watch_app.command("build")
def watch_build(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Build now and compare with production question by question, whatever the decision rule says."""
    _stop_on_terminate()
    workspace = workspace_of(project, overrides, as_json)
    _print_status(_watch(workspace, as_json).build("a person asked for it"), [], as_json)


@watch_app.command("accept")
def watch_accept(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Promote the index that waits although its test shows worse answers; recorded in the audit log."""
    workspace = workspace_of(project, overrides, True)
    release = _watch(workspace, True).accept()
    if as_json:
        print_json(release.model_dump(mode="json"))
    else:
        print(f"{release.name}/{release.version} is in production.")


def _watch(workspace: Workspace, quiet: bool) -> Watch:
    from dataclasses import replace
    from datetime import datetime

    from inhouse.pipeline import stages
    from inhouse.pipeline.child import make_in_child
    from inhouse.serving.alerts import tells_of_waiting
    from inhouse.serving.occasions import live_accuracy
    from inhouse.serving.watching import Stages, Watch

    def made(stage: stages.Stage) -> stages.Stage:
        """The stage in child processes, from what there is now."""
        return lambda given: stage(replace(given, delegate=make_in_child, artifacts={}))

    def say(line: str) -> None:
        if not quiet:
            print(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {plain(line)}", file=sys.stderr, flush=True)

    made_of = Stages(made(stages.index), made(stages.build))
    return Watch(workspace, made_of, say, tells_of_waiting(workspace), lambda: live_accuracy(workspace))


def _stop_on_terminate() -> None:
    """A service that is stopped ends as with Ctrl-C; the next start continues."""
    import signal

    def stopped(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stopped)


def _print_status(state: State, decisions: list[Decision], as_json: bool) -> None:
    from inhouse.cli.terminal import print_line
    from inhouse.serving.watched import utc

    if as_json:
        print_json(state.model_dump(mode="json", exclude={"glance"}) | {
            "decisions": [d.model_dump(mode="json") | {"text": d.text} for d in decisions]
        })  # fmt: skip
        return
    lines = [f"Looked at the documents: {utc(state.looked_at)}"]
    if job := state.job:
        what = "a new index" if job.kind == "index" else "a build"
        lines.append(f"In progress: {what} since {utc(job.started_at)}, {job.step or 'begun'}: {job.why}")
    if state.canary:
        lines.append(f"Canary: {state.canary.release} until {utc(state.canary.until)}")
    if decision := state.decision:
        lines += [f"Decision of {utc(decision.at)}: {decision.text}.", *_figures(decision)]
    else:
        lines.append("No decision yet.")
    for w in state.waiting:
        lines += _waiting(w)
    if not state.waiting:
        lines.append("Nothing waits for a person.")
    print_line("\n".join(plain_lines(lines)))


def plain_lines(lines: list[str]) -> list[str]:
    """Without control characters: users wrote some of it."""
    return [plain(line) for line in lines]


def _figures(decision: Decision) -> list[str]:
    loss = decision.loss
    lost = (
        f"{loss.mean:.1%} of the answers (standard error {loss.sd:.1%}, {30 * loss.drift:.2%} a month)" if loss else "?"
    )
    lines = [f"  {decision.requests:,.0f} requests a day, {decision.days:.1f} days since the last build, lost: {lost}"]
    return lines + [f"  {t.kind}: {t.text}" for t in decision.triggers]


def _waiting(w: Waiting) -> list[str]:
    from inhouse.serving.watched import utc

    lines = [f"Waits for a person since {utc(w.at)} ({w.kind}): {w.text}"]
    lines += [f"    {q[:120]}" for q in w.questions[:10]]
    if len(w.questions) > 10:
        lines.append(f"    and {len(w.questions) - 10} more")
    return [*lines, f"  {w.command}"] if w.command else lines
