"""The commands of live experiments. Nothing heavy at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json
from inhouse.cli.releases import releases_of, show_serving

if TYPE_CHECKING:
    from rich.table import Table

    from inhouse.monitoring.experiments import Results

Arms = Annotated[
    list[str] | None,
    typer.Argument(
        help="ARM=WEIGHT, where ARM is base, production, or a release. The first arm is the one to compare with."
    ),
]
experiment_app = typer.Typer(no_args_is_help=True, help="Compare releases, or a release with base, on live traffic.")


@experiment_app.command()
def start(
    arms: Arms = None,
    name: Annotated[str, typer.Option(help="Name of the experiment; by default it lists the arms.")] = "",
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Start an experiment: split the users of `custom` among arms, by default base=1 production=1."""
    show_serving(releases_of(project, overrides).start(name, _weights(arms)), as_json)


@experiment_app.command()
def weights(arms: Arms = None, project: At = HERE, as_json: AsJson = False) -> None:
    """Change the weights of the live experiment; this restarts its counts."""
    show_serving(releases_of(project).weights(_weights(arms)), as_json)


@experiment_app.command()
def stop(project: At = HERE, as_json: AsJson = False) -> None:
    """End the live experiment; everyone gets the release in production again."""
    show_serving(releases_of(project).stop(), as_json)


@experiment_app.command("show")
def show_experiment(
    name: Annotated[str, typer.Argument(help="Name of the experiment; by default the live one, or the canary.")] = "",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Show the results so far; the intervals are valid at any time, so you may stop when the result is clear."""
    from inhouse.cli.terminal import out

    results = releases_of(project).results(name)
    if as_json:
        print_json(results.model_dump(mode="json"))
        return
    out.print(_table(results))
    out.print(results.conclusion, markup=False, highlight=False, style="bold")


def _weights(arms: list[str] | None) -> dict[str, float]:
    from inhouse.errors import ConfigError

    weights = {}
    for text in arms or ():
        arm, equals, weight = text.rpartition("=")
        try:
            weights[arm] = float(weight)
        except ValueError:
            equals = ""
        if not equals:
            raise ConfigError(f"{text}: expected ARM=WEIGHT", "for example: base=1 production=1")
    return weights


def _table(results: Results) -> Table:
    """Outcomes by arm, then the difference of each other arm from the first."""
    from rich import box
    from rich.table import Table

    from inhouse.monitoring.experiments import METRICS, in_words

    table = Table(title=f"experiment {results.name!r}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for arm, row in results.arms.items():
        table.add_column(f"{arm}\n{row.users} users", justify="right")
    for arm in results.comparisons:
        table.add_column(f"{arm}\nvs. the first", justify="right")
    for name, metric in METRICS.items():
        means = [row.metrics[name].mean for row in results.arms.values()]
        shown = ["" if m is None else f"{m:.4g}" if metric.ratio else f"{100 * m:.1f}%" for m in means]
        differences = [in_words(name, rows[name]) for rows in results.comparisons.values()]
        table.add_row(f"{name}{' (decides)' if name == results.metric else ''}", *shown, *differences)
    return table
