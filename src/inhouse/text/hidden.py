"""Importing a library without what it imports beside itself.

Some libraries import whatever large packages are installed, in case their users need them: NLTK scipy.stats and
scikit-learn (50 MB), spaCy and Presidio torch and transformers (250 MB). They work without them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_IMPORTING = threading.Lock()


@contextmanager
def hidden(library: str, *beside: str) -> Iterator[None]:
    """While this is open, the modules in `beside` cannot be imported, unless they or the library already are."""
    with _IMPORTING:
        names = [name for name in beside if name not in sys.modules] if library not in sys.modules else []
        sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: it cannot be imported
        try:
            yield
        finally:
            for name in names:
                del sys.modules[name]
