"""NLTK's stemmers, without what NLTK imports beside them.

NLTK imports itself whole, and with it scipy.stats and scikit-learn where they are installed, which its statistics and
classifiers could use: 50 MB of memory and more, for a few tables of word endings. It works without them.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

BESIDE = ("scipy.stats", "sklearn")
_IMPORTING = threading.Lock()


def stemmers() -> Any:
    """The module nltk.stem."""
    with _IMPORTING:
        hidden = [name for name in BESIDE if name not in sys.modules] if "nltk" not in sys.modules else []
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: it cannot be imported
        try:
            import nltk.stem
        finally:
            for name in hidden:
                del sys.modules[name]
    return nltk.stem
