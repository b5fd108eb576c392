"""The log of the gateway: one JSON object per line on standard error, whoever writes it.

The gateway's own lines contain no prompt, no answer, and no secret: of an exception they have only the type and the
place, because its message may quote what a user wrote. Lines that libraries write are cut short.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OURS = ("inhouse", "uvicorn")
MOST_CHARS = 300  # of a line that something else writes
log = logging.getLogger("inhouse.gateway")


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": message if record.name.startswith(OURS) else message.partition("\n")[0][:MOST_CHARS],
            **getattr(record, "facts", {}),
        }
        if not record.name.startswith(OURS):
            line["logger"] = record.name
        if record.exc_info and record.exc_info[1]:
            line["error"], line["where"] = place_of(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def place_of(error: BaseException) -> tuple[str, str]:
    """The type of an error, and the file and line that raised it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return type(error).__name__, where


@contextmanager
def logged_as_json() -> Iterator[None]:
    """Makes standard error one JSON object per line: logs, warnings, uncaught exceptions, and whatever else libraries,
    native code, and child processes write there. Ends when the log does, so that errors of a start are readable."""
    real = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    handler = logging.StreamHandler(real)
    handler.setFormatter(JsonLines())
    for name, level in (("", logging.WARNING), ("inhouse", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    wrapping = threading.Thread(target=_wrap, args=(reader,), name="stderr", daemon=True)
    wrapping.start()
    try:
        yield
    finally:
        sys.excepthook = sys.__excepthook__
        sys.stderr.flush()
        os.dup2(real.fileno(), 2)
        wrapping.join(0.5)  # child processes may still have the other end


def _wrap(reader: int) -> None:
    with os.fdopen(reader, encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            if text := line.strip():
                log.warning("output", extra={"facts": {"text": text[:MOST_CHARS]}})


def _uncaught(kind: object, error: BaseException | None, trace: object) -> None:
    log.error("uncaught exception", exc_info=error)
