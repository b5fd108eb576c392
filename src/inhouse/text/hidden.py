"""Importing a library without what it imports beside itself.

Some libraries import whatever large packages are installed, in case their users need them: NLTK SciPy and
scikit-learn (55 MB), spaCy and Presidio torch and transformers (250 MB), pyarrow pandas (50 MB). They work without.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

_IMPORTING = threading.Lock()


class _Hider(MetaPathFinder):
    """Finds none of some modules, before others find them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(names)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextmanager
def hidden(library: str, *beside: str) -> Iterator[None]:
    """While this is open, the modules in `beside` cannot be imported, unless they or the library already are."""
    with _IMPORTING:
        hider = _Hider(beside if library not in sys.modules else ())
        sys.meta_path.insert(0, hider)
        try:
            yield
        finally:
            sys.meta_path.remove(hider)
