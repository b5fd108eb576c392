"""The commands for those who come from OpenAI's fine-tuning. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.pipeline.stored import Comparison

openai_app = typer.Typer(no_args_is_help=True, help="Compare with a model fine-tuned at OpenAI, and export rows.")
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="What `inhouse import openai` wrote.")]


@openai_app.command()
def questions(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, for OpenAI's Batch API.")],
    model: Annotated[str, typer.Option("--model", help="The fine-tuned model, such as ft:gpt-4o-mini:acme::abc123.")],
    system: Annotated[str, typer.Option("--system", help="The system prompt that it was trained with.")] = "",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Write the held-out questions of the latest verdict as a batch for a model at OpenAI."""
    from inhouse.pipeline.stored import write_batch

    count = write_batch(workspace_of(project, None, quiet=True), out, model, system)
    tell(f"{count:,} questions in {out}", as_json)
    if as_json:
        print_json({"questions": count, "out": str(out)})
        return
    print(f"Next: send {out} to the Batch API, save its output file beside it, then:")
    print(f"inhouse import openai {out} OUTPUT.jsonl --out answers.jsonl")
    print("inhouse openai compare answers.stored.jsonl")


@openai_app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Stored completions: NAME.stored.jsonl.")],
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Compare stored completions with the arms of the latest verdict, question by question."""
    from inhouse.pipeline.stored import compare_stored

    tell("Scoring the stored completions like the answers of the arms", as_json)
    found = compare_stored(workspace_of(project, None, quiet=as_json), files)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(found)


def _show(found: Comparison) -> None:
    from inhouse.cli.terminal import print_line

    names = ", ".join(found.models) or "a model without a name"
    print_line(f"{found.questions} of {found.asked} held-out questions have a stored completion ({names}).")
    print_line(f"\n{'arm':<22}{'accuracy':>10}{'wrong':>8}{'answered':>10}   accuracy against the stored completions")
    for name, row in found.report.arms.items():
        shares = [row.metrics[m].mean if m in row.metrics else float("nan") for m in ("accuracy", "wrong", "answered")]
        gain = found.gain(name)
        against = f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] points" if gain else ""
        print_line(f"{name:<22}{shares[0]:>10.1%}{shares[1]:>8.1%}{shares[2]:>10.1%}   {against}")
    print_line(f"\n{found.sentence}")
    print_line(f"Every question with both answers: {found.path}")


@openai_app.command()
def export(
    files: Files,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("rows.jsonl"),
    azure: Annotated[bool, typer.Option("--azure", help="Begin with a byte order mark, as Azure asks for.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write imported rows in the shape of OpenAI's fine-tuning files."""
    from inhouse.datasets.openai import export_rows

    counts = export_rows(files, out, azure)
    tell(f"{counts.total():,} rows in {out}", as_json)
    if as_json:
        print_json({"out": str(out), **counts})
    elif counts["composed"]:
        print(f"{counts['unchanged']:,} rows are as they were read; {counts['composed']:,} were put together.")
