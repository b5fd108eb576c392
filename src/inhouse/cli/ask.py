"""The commands to try out what was built: search, ask, chat. Nothing heavy at import."""

from __future__ import annotations

from typing import Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Groups, Set, print_json, tell, workspace_of


def search(
    query: Annotated[str, typer.Argument(help="Words or a question.")],
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    groups: Groups = None,
    k: Annotated[int, typer.Option(help="Number of passages.", min=1)] = 5,
) -> None:
    """Search the documents and print the best passages."""
    from inhouse.pipeline import ask as asking

    workspace = workspace_of(project, overrides, as_json)
    hits = asking.search(workspace, query, k, frozenset(groups or ()))
    if as_json:
        print_json([h.model_dump(mode="json") for h in hits])
        return
    from inhouse.cli.terminal import out

    for n, hit in enumerate(hits, 1):
        place = " > ".join(filter(None, (hit.chunk.title, hit.chunk.heading)))
        source = _marked(hit.chunk.source, hit.chunk.trust)
        out.print(f"{n}. {hit.score:.2f}  {place}  ({source})", style="bold", markup=False, highlight=False)
        out.print(f"   {' '.join(hit.chunk.text.split())[:400]}", markup=False, highlight=False)


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    groups: Groups = None,
) -> None:
    """Ask the base and the custom model one question, side by side; in a folder for devices, the release there."""
    from inhouse.pipeline import ask as asking
    from inhouse.serving import answer

    workspace = workspace_of(project, overrides, as_json)
    one = answer.ask if answer.is_edge(workspace) else asking.ask
    replies = one(workspace, question, frozenset(groups or ()))
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
        cited = {
            (c["passage"], _marked(c["source"], c.get("trust", "trusted")))
            for c in reply.note("grounded", "citations") or []
        }
        for passage, source in sorted(cited):
            body.append(f"\n[{passage}] {source}", style="dim")
        panels.append(
            Panel(body, title=arm, subtitle=f"{reply.latency_s:.1f} s", width=max(30, out.width // len(replies) - 1))
        )
    out.print(Columns(panels))


def _marked(source: str, trust: str) -> str:
    """The path of a document, marked if others may have written it."""
    return f"{source}, {trust}" if trust != "trusted" else source


def chat(project: At = HERE, overrides: Set = None, groups: Groups = None) -> None:
    """Chat with the custom model; an empty line ends the conversation."""
    from inhouse.pipeline import ask as asking

    workspace = workspace_of(project, overrides, False)
    tell("An empty line ends the conversation")
    asking.chat(
        workspace, frozenset(groups or ()), lambda: input("you> "), lambda text: print(text, end="", flush=True)
    )
