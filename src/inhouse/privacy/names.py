"""Names of people, and words that are none, by language: Faker's lists of names, and spaCy's lists of stop words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from inhouse.errors import BackendError
from inhouse.privacy.locales import LOCALES

BY_CHARACTERS = ("zh", "ja")
PARTICLES = frozenset("von van der den de del della di da do dos das du la le el y zu zum zur ten ter af av".split())  # noqa: SIM905
"""Words inside names."""


def stop_words(language: str) -> frozenset[str]:
    """Words of the language that are no names."""
    return _stop_words(language) if language in LOCALES or language in BY_CHARACTERS else frozenset()


@lru_cache(maxsize=16)
def _stop_words(language: str) -> frozenset[str]:
    package = find_spec("spacy.lang")
    folder = Path(((package and package.submodule_search_locations) or [""])[0])
    # Loaded by its path: the package of some languages takes two seconds to import.
    spec = spec_from_file_location(f"stop_words_{language}", folder / language / "stop_words.py")
    if spec is None or spec.loader is None:
        raise BackendError(f"spaCy has no stop words for {language}", "install inhouse again")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return frozenset(w.casefold() for w in module.STOP_WORDS) - PARTICLES


@lru_cache(maxsize=16)
def known_names(language: str, kind: str) -> frozenset[str]:
    """First or last names ("first_names", "last_names") in lower case, from Faker's lists."""
    places = LOCALES[language].names if language in LOCALES else {"zh": ("zh_CN", "zh_TW"), "ja": ("ja_JP",)}[language]
    names: set[str] = set()
    for place in places:
        provider = import_module(f"faker.providers.person.{place}").Provider
        fields = [f for f in dir(provider) if f.startswith(kind)]
        for name in (n for f in fields for n in _strings(getattr(provider, f))):
            names.update(part.casefold() for part in name.split() if len(part) > 1 or language in BY_CHARACTERS)
    return frozenset(names)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        for item in value:  # lists, dicts by weight, and pairs of two spellings
            yield from _strings(item)
