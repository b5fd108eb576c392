"""The pages of docs/ that come from the code are what the code says now."""

from pathlib import Path

from inhouse.cli.main import app
from inhouse.config import reference

ROOT = Path(__file__).parents[1]


def test_the_reference_is_not_stale():
    assert (ROOT / "docs" / "reference.md").read_text() == reference.page(app), "`make reference` writes it anew"


def test_every_page_that_is_linked_is_there():
    import re

    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links {link}"
