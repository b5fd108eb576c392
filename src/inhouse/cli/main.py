"""The verbs. Nothing heavy is imported before the verb is known: `inhouse --help` answers at once.

Every verb says in one line what it will do and in one what it made. Results go to standard output, all else to standard
error; `--json` prints the result alone, as JSON. Exit codes: 0, 1 unexpected, 2 settings, 3 input, 4 back-end, 5 gate.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli import guard as guarding
from inhouse.cli import keys as keeping
from inhouse.cli import releases as operating
from inhouse.cli.options import HERE, AsJson, At, Groups, Set, line, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.types import Artifact

# NumPy's products here are small: more threads cost and give nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help=(
    "Builds a business's own LLM from its documents and conversations, proves on held-out questions what that gained, "
    "and answers with exactly what was proved."))  # fmt: skip
models_app = typer.Typer(no_args_is_help=True, help="Weights on this machine: list, pull, add.")
app.add_typer(models_app, name="models")


def _stage(name: str, about: str, project: Path, overrides: list[str] | None, as_json: bool) -> Artifact:
    from inhouse.pipeline import stages as pipeline

    workspace = workspace_of(project, overrides, as_json)
    tell(about, as_json)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    artifact: Artifact = getattr(pipeline, name)(workspace)
    if as_json:
        print_json(artifact.model_dump(mode="json"))
    elif artifact.made_at < started:
        line(artifact, "already there")
    return artifact


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder of the new project.")]) -> None:
    """Write a commented inhouse.toml and say what to put where."""
    from inhouse.cli.terminal import out
    from inhouse.config.load import FILE
    from inhouse.config.reference import template
    from inhouse.errors import ConfigError
    from inhouse.store.artifacts import write_text

    file = folder / FILE
    if file.exists():
        raise ConfigError(f"{file}: there already", "choose another folder, or edit that file")
    tell(f"Writing {file}")
    write_text(file, template(folder.resolve().name))
    (folder / "documents").mkdir(exist_ok=True)
    out.print(
        f"{file} written. Now put\n"
        f"  your documents (md, txt, html, pdf, docx, pptx, xlsx, csv, eml) into {folder / 'documents'}/\n"
        f"  your past conversations into {folder / 'conversations.jsonl'}, one JSON a line:\n"
        '    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}\n'
        f"  and, if you have them, test questions with checks into a file named under [curation] tests.\n"
        f"Then: inhouse check --project {folder}, and inhouse build --project {folder}",
        markup=False, highlight=False,
    )  # fmt: skip


@app.command()
def check(
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    explain: Annotated[str, typer.Option(help="Print the keys of a section instead, such as training.")] = "",
) -> None:
    """Validate the project file, the machine and the data, and estimate how long each stage takes here."""
    from inhouse.config import reference
    from inhouse.pipeline.check import examine, table

    if explain:
        print(reference.explain(explain))
        return
    workspace = workspace_of(project, overrides, as_json)
    tell("Checking the project file, the machine and the data", as_json)
    found = examine(workspace)
    if as_json:
        print_json(found)
    else:
        from inhouse.cli.terminal import out

        out.print(table(found))
    if found["problems"]:
        raise typer.Exit(3)


@app.command()
def ingest(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Read the documents."""
    artifact = _stage("ingest", "Reading the documents", project, overrides, as_json)
    if not as_json:
        from inhouse.cli.terminal import fates, out

        report = Path(artifact.path) / "report.json"
        out.print(fates(json.loads(report.read_text(encoding="utf-8"))["files"]))
        for failed in artifact.facts["failures"]:
            out.print(f"failed: {failed['path']}: {failed['reason']}", markup=False, highlight=False, soft_wrap=True)
        tell(f"Every file's fate: {report}")


@app.command()
def index(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Cut the documents into chunks, embed and index them."""
    _stage("index", "Indexing the documents; chunks that have not changed are kept", project, overrides, as_json)


@app.command()
def search(
    query: str, project: At = HERE, overrides: Set = None, as_json: AsJson = False, groups: Groups = None, k: int = 5
) -> None:
    """Find passages."""
    from inhouse.pipeline import ask as asking

    workspace = workspace_of(project, overrides, as_json)
    hits = asking.search(workspace, query, k, frozenset(groups or ()))
    if as_json:
        print_json([h.model_dump(mode="json") for h in hits])
        return
    from inhouse.cli.terminal import out

    for n, hit in enumerate(hits, 1):
        place = " > ".join(filter(None, (hit.chunk.title, hit.chunk.heading)))
        out.print(f"{n}. {hit.score:.2f}  {place}  ({hit.chunk.source})", style="bold", markup=False, highlight=False)
        out.print(f"   {' '.join(hit.chunk.text.split())[:400]}", markup=False, highlight=False)


@app.command()
def curate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Turn conversations and documents into training, validation and test sets."""
    artifact = _stage("curate", "Curating the conversations", project, overrides, as_json)
    tell(f"The data card: {artifact.path}/card.md", as_json)


@app.command()
def train(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Fine-tune the base model."""
    _stage("train", "Fine-tuning; Ctrl-C is safe, the next run goes on", project, overrides, as_json)


@app.command()
def parity(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Compare the served model with the trained one; exit 5 when they differ."""
    from inhouse.pipeline.stages import refuse_without_parity

    refuse_without_parity(
        _stage("parity", "Comparing what is served with what was trained", project, overrides, as_json)
    )


@app.command()
def evaluate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Ask every arm the same held-out questions and report what customizing gained."""
    artifact = _stage("evaluate", "Asking every arm the same questions", project, overrides, as_json)
    if not as_json:
        _show_report(artifact)


@app.command()
def build(
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    going_on: Annotated[bool, typer.Option("--going-on", hidden=True)] = False,
) -> None:
    """Run every stage, from documents to the verdict; what is done already is skipped."""
    from inhouse.pipeline import stages as pipeline

    made: list[str] = []

    def said(kind: str, artifact: Artifact, fresh: bool) -> None:
        made.extend([kind] * fresh)
        workspace.said(kind, artifact, fresh)

    workspace = workspace_of(project, overrides, as_json)
    tell("Building: ingest, index, curate, tune, train, parity, evaluate", as_json or going_on)
    watched = replace(workspace, said=said)
    for heavy in (
        pipeline.tune,
        *((pipeline.train, pipeline.parity) if pipeline.customizes(workspace.project) else ()),
    ):
        heavy(watched)
        if made and os.name == "posix":
            _go_on_anew(project, overrides, as_json)
    artifact = pipeline.build(workspace)
    if as_json:
        print_json(artifact.model_dump(mode="json"))
    else:
        _show_report(artifact)


def _go_on_anew(project: Path, overrides: list[str] | None, as_json: bool) -> None:
    """Puts a fresh process in this one's place; it finds what is made and goes on. Nothing else gives the memory of
    PyTorch and spaCy back to the machine."""
    sys.stdout.flush()
    sys.stderr.flush()
    options = [*(part for text in overrides or () for part in ("--set", text)), *(["--json"] if as_json else [])]
    again = [sys.executable, "-m", "inhouse.cli.main", "build", "--going-on", "--project", str(project), *options]
    os.execv(sys.executable, again)  # noqa: S606  our own interpreter, no shell


def _show_report(artifact: Artifact) -> None:
    from inhouse.cli.terminal import out
    from inhouse.evaluation.report import render_table

    out.print(render_table(json.loads((Path(artifact.path) / "report.json").read_text(encoding="utf-8"))))
    out.print(f"The whole report: {artifact.path}/report.html", soft_wrap=True, highlight=False)


@app.command()
def ask(
    question: str, project: At = HERE, overrides: Set = None, as_json: AsJson = False, groups: Groups = None
) -> None:
    """Ask the base and the custom model, side by side."""
    from inhouse.pipeline import ask as asking

    workspace = workspace_of(project, overrides, as_json)
    replies = asking.ask(workspace, question, frozenset(groups or ()))
    if as_json:
        print_json({arm: reply.model_dump(mode="json") for arm, reply in replies.items()})
        return
    from rich.columns import Columns
    from rich.panel import Panel
    from rich.text import Text

    from inhouse.cli.terminal import out

    panels = []
    for arm, reply in replies.items():
        body = Text(reply.text.strip())
        cited = {(c["passage"], c["source"]) for c in reply.note("grounded", "citations") or []}
        for passage, source in sorted(cited):
            body.append(f"\n[{passage}] {source}", style="dim")
        panels.append(
            Panel(body, title=arm, subtitle=f"{reply.latency_s:.1f} s", width=max(30, out.width // len(replies) - 1))
        )
    out.print(Columns(panels))


@app.command()
def chat(project: At = HERE, overrides: Set = None, groups: Groups = None) -> None:
    """Talk with the custom model; an empty line ends it."""
    from inhouse.pipeline import ask as asking

    workspace = workspace_of(project, overrides, False)
    tell("An empty line ends the conversation")
    asking.chat(
        workspace, frozenset(groups or ()), lambda: input("you> "), lambda text: print(text, end="", flush=True)
    )


@app.command()
def show(
    what: Annotated[
        str, typer.Argument(help="A kind (dataset, report, ...) or the start of a key; empty lists all.")
    ] = "",
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """List what was made, or show one artifact with everything it was made from."""
    from inhouse.cli.terminal import out

    workspace = workspace_of(project, overrides, as_json)
    store = workspace.store
    found = sorted(store.all(), key=lambda a: a.made_at)
    if not what:
        if as_json:
            print_json([a.model_dump(mode="json") for a in found])
        for a in () if as_json else found:
            out.print(f"{a.made_at}  {a.kind:10} {a.key[:8]}  {a.path}", markup=False, highlight=False, soft_wrap=True)
        return
    artifact = store.latest(what) if any(a.kind == what for a in found) else store.get(what)
    assert artifact is not None
    lineage = list(store.lineage(artifact))
    if as_json:
        print_json([{"depth": d, **a.model_dump(mode="json")} for d, a in lineage])
        return
    for depth, a in lineage:
        out.print(
            f"{'  ' * depth}{a.kind} {a.key[:8]}  {a.made_at}  {a.path}", markup=False, highlight=False, soft_wrap=True
        )
    if artifact.kind == "report":
        _show_report(artifact)
    else:
        print_json(artifact.facts)


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """Known models and whether they are on this machine."""
    from inhouse.models.catalog import CATALOG, Catalog

    names = Catalog().names()
    if as_json:
        print_json(names)
        return
    for name, state in names.items():
        about = f"{CATALOG[name].kind}: {CATALOG[name].about} ({CATALOG[name].licence})" if name in CATALOG else ""
        print(f"{name:24} {state:11} {about}".rstrip())


@models_app.command("pull")
def models_pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or Hugging Face ids; none pulls the defaults.")
    ] = None,
) -> None:
    """Fetch models into the cache. The only verb that calls out."""
    from inhouse.models.catalog import CATALOG, Catalog

    for name in names or list(CATALOG):
        tell(f"Pulling {name}")
        print(f"{name}: {Catalog().pull(name)}")


@models_app.command("add")
def models_add(name: str, path: Path) -> None:
    """Give a name to a .gguf file or a Hugging Face folder on this machine."""
    from inhouse.models.catalog import Catalog

    Catalog().add(name, path)
    print(f"{name}: {path.resolve()}")


operating.add_to(app)  # after the verbs of building, as --help lists them
keeping.add_to(app)
guarding.add_to(app)


def main() -> None:
    """Runs a verb; every known error ends in a message, a hint and its exit code."""
    from inhouse.errors import InhouseError

    try:
        app()
    except InhouseError as error:
        from inhouse.cli.terminal import show_error

        show_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("\ninterrupted; the next run goes on from here", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
