"""What reads the texts of users and documents takes linear time, beyond its patterns: loops, joins, parsers, classifiers."""

import collections
import contextlib
import importlib
import inspect
import pkgutil
from collections.abc import Callable

import pytest
from worst_cases import UNITS, slow, texts

from inhouse.documents.parse import parse
from inhouse.errors import InputError
from inhouse.privacy import foreign
from inhouse.privacy.context import answers, late_secrets
from inhouse.privacy.locales import LOCALES
from inhouse.privacy.recognizers import PRIORITY
from inhouse.text import arithmetic

ROOMS = ("text", "privacy", "routing", "retrieval", "guardrails", "documents", "datasets")
SUFFIXES = (".md", ".txt", ".csv", ".html", ".json", ".jsonl", ".eml", ".rtf", ".xml", ".ics", ".adoc", ".rst", ".srt")
PROBE = 8000
FLOOR_S = 0.02
LIMIT_S = 10.0


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
    """Measures with every n-th text, another part for each function; nothing is cached, as each text is a new one."""
    times = iter(range(10**9))

    def once(text: str) -> None:
        try:
            work(text + " " * (next(times) % 50))
        except (InputError, KeyError):  # KeyError: no such language
            return

    once("a word")  # imports, data files
    some = [u for i, u in enumerate(UNITS) if i % every == number % every]
    why = slow(once, texts(some), PROBE, FLOOR_S, LIMIT_S)
    assert not why, why


QUICK_AND_THOROUGH = pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])


@QUICK_AND_THOROUGH
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_a_text(name, every):
    _check(FUNCTIONS[name], sorted(FUNCTIONS).index(name), every)


@QUICK_AND_THOROUGH
@pytest.mark.parametrize("language", [*LOCALES, "zh", "ja"])
def test_personal_data_of_a_language(language, every):
    _check(lambda text: foreign.found(text, language), len(LOCALES) + len(language), every)


@QUICK_AND_THOROUGH
def test_what_a_conversation_asks_for(every):
    _check(lambda text: collections.deque(answers(text, set(PRIORITY), {"PIN"}, set()), 0), 0, every)
    _check(lambda text: collections.deque(late_secrets(text, set()), 0), 1, every)


@QUICK_AND_THOROUGH
def test_a_calculation(every):
    _check(lambda text: arithmetic.worked(["How much are 3 wires for $300?"], [text]), 0, every)
    _check(lambda text: arithmetic.is_calculation(text, [text]), 1, every)


@QUICK_AND_THOROUGH
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_document(suffix, every):
    def work(text):
        with contextlib.suppress(RecursionError):  # reported by the worker, which reads each file in a process
            parse(text.encode("utf-8", "replace"), suffix)

    _check(work, SUFFIXES.index(suffix), every)
