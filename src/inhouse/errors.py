"""The errors that a person sees, one tree; each carries a hint and the exit code of the process::

InhouseError            1
├── ConfigError         2   the project file or an option
├── InputError          3   documents, conversations, weights
├── BackendError        4   the engine, an endpoint, the disk
│   └── RefusedError    4   this request alone: asking again would not help
└── GateError           5   a rule refused to go on (parity, release)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


# --- errors -----------------------------------------------------------------------------------------------------


class InhouseError(Exception):
    """An error for the user: what is wrong, where, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(InhouseError):
    exit_code = 2


class InputError(InhouseError):
    exit_code = 3


class BackendError(InhouseError):
    exit_code = 4


class RefusedError(BackendError):
    """The engine works, and does not take this request: a conversation too long, a schema it cannot follow."""


class GateError(InhouseError):
    exit_code = 5
