"""Whether a model knows the languages of the texts that it is used on, by what the catalog says and by its tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from inhouse.models.catalog import CATALOG, Entry, Kind
from inhouse.text.language import languages, spoken

ROLES: dict[Kind, tuple[str, str]] = {
    "embedder": ("embedder", "retrieval.embedder"),
    "llm": ("base model", "model.base"),
}
SOME_TOKENS = 0.02  # share of unknown tokens from which a text loses its meaning
READ_CHARS = 2000  # of each text


def gaps(
    name: str, counts: Mapping[str, int], texts: Sequence[str], unknown: Callable[[str], tuple[int, int]] | None = None
) -> list[str]:
    """What the model does not know, a sentence each, with what to set instead.

    Args:
        name: of the model, in the project file.
        counts: how many of the texts are in each language.
        texts: of the documents, for `unknown`.
        unknown: how many of the tokens of a text the model does not know, and how many there are.
    """
    entry, total = CATALOG.get(name), sum(counts.values())
    sentences = []
    if entry and entry.languages:
        for code in sorted(spoken(counts) - set(entry.languages)):
            role, key = ROLES[entry.kind]
            known = "English" if entry.languages == ("en",) else ", ".join(entry.languages)
            sentences.append(
                f"The {role} {name} knows {known} only; {counts[code]} of {total} documents are in {code}"
                f"{_instead(entry, key, code)}."
            )
    if unknown and not sentences:
        found = [unknown(text[:READ_CHARS]) for text in texts]
        share = sum(n for n, _ in found) / max(sum(n for _, n in found), 1)
        if share >= SOME_TOKENS:
            sentences.append(
                f"The embedder {name} does not know {share:.0%} of the tokens of the documents"
                f"{_instead(None, 'retrieval.embedder', next(iter(counts), ''))}."
            )
    return sentences


def suited_embedder(texts: Sequence[str], usual: str) -> str:
    """The embedder for these texts: `usual`, or one that knows their languages where most are in others."""
    counts = languages(texts)
    others = {code: n for code, n in counts.items() if code not in CATALOG[usual].languages}
    if 2 * sum(others.values()) <= sum(counts.values()):
        return usual
    return _knows("embedder", max(others, key=lambda code: others[code])) or usual


def _instead(entry: Entry | None, key: str, code: str) -> str:
    other = _knows(entry.kind if entry else "embedder", code)
    return f': set {key} = "{other}"' if other else f": set {key} to a model that knows it"


def _knows(kind: Kind, code: str) -> str:
    return next((n for n, e in CATALOG.items() if e.kind == kind and code in e.languages), "")
