"""Errors that a person sees. Each has a hint and the exit code of the process::

InhouseError            1
├── ConfigError         2   the project file or an option
├── InputError          3   documents, conversations, weights
├── BackendError        4   the engine, an endpoint, the database, the disk
│   ├── RefusedError    4   the model rejects this request, so repeating it would not help
│   └── RestartingError 4   a process is being restarted, so repeating the request in a moment would help
└── GateError           5   a gate did not pass (parity, release, audit)
"""

from __future__ import annotations

CONTEXT_LENGTH = "context_length_exceeded"  # OpenAI's code for a conversation that is too long


class InhouseError(Exception):
    """An error for the user: what is wrong and where. `hint` says what to do about it."""

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
    """The model works but rejects this request, such as a conversation that is too long or a schema it cannot follow.

    Args:
        code: the reason as one of OpenAI's error codes, such as CONTEXT_LENGTH; empty if unknown.
        param: the field of the request that is at fault; empty if unknown.
    """

    def __init__(self, message: str, hint: str = "", code: str = "", param: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
        self.param = param


class RestartingError(BackendError):
    """A process that the answer needs has ended and is being restarted; the same request may succeed in a moment."""


def too_long(most_tokens: int, found: str) -> RefusedError:
    """The error for a conversation that the context cannot hold, in OpenAI's words; `found` is what has how many."""
    return RefusedError(
        f"This model's maximum context length is {most_tokens} tokens. However, {found} tokens. "
        "Please shorten the conversation.",
        "shorten the conversation, or raise model.context_tokens", CONTEXT_LENGTH, "messages",
    )  # fmt: skip


class GateError(InhouseError):
    exit_code = 5
