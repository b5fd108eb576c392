"""The verbs of a model in use: release, experiment, export, serve; `cli` adds them. Nothing heavy at import."""

from __future__ import annotations

import typer


def add_to(app: typer.Typer) -> None:
    """Adds these verbs to the command line."""
