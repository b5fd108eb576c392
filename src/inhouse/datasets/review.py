"""What people decided about single examples; `curate` applies it to the conversations and the generated pairs.

An append-only file with one JSON object per line; the last line for an id counts. It is not part of the data sets,
since those are made again from their sources.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from inhouse.errors import BackendError, InputError
from inhouse.types import Digest, Example, Message, Review, digest_of, last_question

FILE = "reviews.jsonl"
REJECTED = "rejected by a reviewer"


class Reviews:
    """The reviews in `file`, which does not have to exist."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def all(self) -> dict[str, Review]:
        """The last review of each example, by its id.

        Raises:
            InputError: a line is not a review.
        """
        reviews: dict[str, Review] = {}
        if not self._file.is_file():
            return reviews
        with self._file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    review = Review.model_validate(json.loads(line))
                except (ValueError, ValidationError) as error:
                    raise InputError(f"{self._file}:{number}: not a review", "remove that line") from error
                reviews[review.id] = review
        return reviews

    def add(self, review: Review) -> None:
        """Appends a review and waits until it is on disk.

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
            hint = "free some space on that disk"
            raise BackendError(f"{self._file}: cannot be written ({error.strerror})", hint) from error

    @property
    def digest(self) -> Digest:
        """The digest of the reviews that count; the same for no file and for no reviews."""
        return digest_of([review.model_dump(mode="json") for _, review in sorted(self.all().items())])


def reviewed(examples: Iterable[Example], reviews: Mapping[str, Review]) -> list[Example]:
    """The examples with the edits of their reviews. Rejected examples are kept, see `refused`."""
    edited = []
    for example in examples:
        review = reviews.get(example.id)
        if review and review.question is not None:
            at = last_question(example.messages)
            question = Message(role="user", content=review.question)
            messages = (*example.messages[:at], question, *example.messages[at + 1 :])
            example = example.model_copy(update={"messages": messages})  # noqa: PLW2901
        if review and review.target is not None:
            example = example.model_copy(update={"target": review.target})  # noqa: PLW2901
        edited.append(example)
    return edited


def approved(example: Example, reviews: Mapping[str, Review]) -> bool:
    """Whether a person approved the example; then no quality rule removes it."""
    review = reviews.get(example.id)
    return review is not None and review.status == "approved"


def refused(examples: Sequence[Example], reviews: Mapping[str, Review]) -> dict[int, str]:
    """Positions of the examples that a person rejected, with the reason."""
    return {n: REJECTED for n, e in enumerate(examples) if (r := reviews.get(e.id)) and r.status == "rejected"}
