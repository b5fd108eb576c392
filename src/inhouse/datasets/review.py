"""What people said of single examples: an overlay over the logs and the made pairs, which `curate` lays on anew.

A file with one JSON a line, only ever appended to; the last line of an id counts. It is kept apart from the data sets,
since these are made again from their sources.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from inhouse.errors import BackendError, InputError
from inhouse.types import Digest, Example, Message, Review, digest_of

FILE = "reviews.jsonl"
REJECTED = "rejected by a reviewer"


class Reviews:
    """The reviews in `file`, which need not be there."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def all(self) -> dict[str, Review]:
        """The last review of each example.

        Raises:
            InputError: a line is not a review.
        """
        found: dict[str, Review] = {}
        if not self._file.is_file():
            return found
        with self._file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    review = Review.model_validate(json.loads(line))
                except (ValueError, ValidationError) as error:
                    raise InputError(f"{self._file}:{number}: not a review", "remove that line") from error
                found[review.id] = review
        return found

    def add(self, review: Review) -> None:
        """Appends a review; it is on disk when this returns.

        Raises:
            BackendError: the file cannot be written.
        """
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as lines:
                fcntl.flock(lines, fcntl.LOCK_EX)
                lines.write(review.model_dump_json() + "\n")
                lines.flush()
                os.fsync(lines.fileno())
        except OSError as error:
            raise BackendError(f"{self._file}: cannot be written ({error.strerror})", "make room there") from error

    @property
    def digest(self) -> Digest:
        """Of all that counts; the same for no file and no reviews."""
        return digest_of([review.model_dump(mode="json") for _, review in sorted(self.all().items())])


def reviewed(examples: Iterable[Example], reviews: Mapping[str, Review]) -> list[Example]:
    """The examples as their reviews have them; rejected ones are still among them, see `refused`."""
    found = []
    for example in examples:
        review = reviews.get(example.id)
        if review and review.question is not None:
            asked = Message(role="user", content=review.question)
            example = example.model_copy(update={"messages": (*example.messages[:-1], asked)})  # noqa: PLW2901
        if review and review.target is not None:
            example = example.model_copy(update={"target": review.target})  # noqa: PLW2901
        found.append(example)
    return found


def approved(example: Example, reviews: Mapping[str, Review]) -> bool:
    """Whether a person vouches for the example: then no rule of quality leaves it out."""
    review = reviews.get(example.id)
    return review is not None and review.status == "approved"


def refused(examples: Sequence[Example], reviews: Mapping[str, Review]) -> dict[int, str]:
    """Those that a person rejected, by their place, with the reason."""
    return {n: REJECTED for n, e in enumerate(examples) if (r := reviews.get(e.id)) and r.status == "rejected"}
