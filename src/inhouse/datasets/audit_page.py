"""The data audit as one self-contained page: no script, no font, no request."""

from __future__ import annotations

from pathlib import Path

from inhouse.datasets.audit import DataAudit, percent
from inhouse.errors import BackendError
from inhouse.files import write_text

TEMPLATE = "audit.html"


def write_page(audit: DataAudit, file: Path) -> None:
    """Writes the page; everything in it is escaped.

    Raises:
        BackendError: the file cannot be written.
    """
    try:
        write_text(file, page(audit))
    except OSError as error:
        raise BackendError(f"{file}: cannot be written ({error.strerror})", "choose another file for --html") from error


def page(audit: DataAudit) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["share"] = percent
    return environment.get_template(TEMPLATE).render(a=audit)
