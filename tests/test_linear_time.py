"""What reads the texts of users and documents takes linear time, beyond its patterns: loops, joins, parsers, classifiers."""

import collections
import importlib
import inspect
import pkgutil
from collections.abc import Callable

import pytest
from worst_cases import UNITS, slow, texts

from inhouse.documents.parse import parse
from inhouse.errors import InputError

ROOMS = ("text", "privacy", "routing", "retrieval", "guardrails", "documents", "datasets")
FLOOR_S = 0.01
PROBE = 2000


def _functions() -> dict[str, Callable[[str], object]]:
    """Every public function of the rooms that needs nothing but texts, and whose first parameter is one."""
    found = {}
    for room in ROOMS:
        package = importlib.import_module(f"inhouse.{room}")
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for name, function in vars(module).items():
                if inspect.isfunction(function) and function.__module__ == info.name and not name.startswith("_"):
                    kinds = [
                        p.annotation for p in inspect.signature(function).parameters.values() if p.default is p.empty
                    ]
                    if kinds and kinds[0] == "str" and set(kinds) == {"str"}:
                        found[f"{info.name[8:]}.{name}"] = _of_one(function, len(kinds))
    return found


def _of_one(function: Callable[..., object], count: int) -> Callable[[str], object]:
    """The function of its first text; the others are the same text, cut short."""

    def work(text: str) -> object:
        result = function(text, *([text[:40]] * (count - 1)))
        return collections.deque(result, 0) if inspect.isgenerator(result) else result

    return work


FUNCTIONS = _functions()


def _check(work: Callable[[str], object], number: int, every: int) -> None:
    some = [u for i, u in enumerate(UNITS) if i % every == number % every]
    why = slow(work, texts(some), PROBE, FLOOR_S)
    assert not why, why


def _uncached(work: Callable[[str], object]) -> Callable[[str], object]:
    times = iter(range(10**9))
    return lambda text: work(f"{next(times)} {text}")


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_a_text(name, every):
    function = FUNCTIONS[name]

    def work(text):
        try:
            return function(text)
        except (InputError, KeyError):
            return None

    _check(_uncached(work), sorted(FUNCTIONS).index(name), every)


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "suffix",
    [".md", ".txt", ".csv", ".html", ".json", ".jsonl", ".eml", ".rtf", ".xml", ".ics", ".adoc", ".rst", ".srt"],
)
def test_a_document(suffix, every):
    def work(text):
        try:
            parse(text.encode("utf-8", "replace"), suffix)
        except InputError:
            return

    _check(work, len(suffix), every)
