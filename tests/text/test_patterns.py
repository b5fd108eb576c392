"""Every pattern of the package takes linear time on every text: a quadratic one stops the server for all users."""

import collections
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import regex
from worst_cases import SEARCHING, attacks, slow

PATTERNS_AT_LEAST = 700


@pytest.fixture(scope="module")
def collected():
    script = Path(__file__).with_name("collect_patterns.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script], capture_output=True, text=True, timeout=300, check=True
    )
    return json.loads(done.stdout)


def test_every_pattern_is_known(collected):
    assert collected["missing"] == []  # give them an example in `build_those_of_data`
    assert len(collected["patterns"]) > PATTERNS_AT_LEAST


@pytest.mark.parametrize("tries", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_every_pattern_takes_linear_time(collected, tries):
    results = [
        f"{', '.join(p['sites'])}: {why}\n  {p['pattern'][:200]}"
        for p in collected["patterns"]
        if (why := _slow(p, tries))
    ]
    assert not results, "\n".join(["", *results])


def _slow(known: dict, tries: int) -> str:
    source = known["pattern"].encode("latin-1") if known["bytes"] else known["pattern"]
    pattern = {"re": re, "regex": regex}[known["engine"]].compile(source, known["flags"])
    works = {"match": pattern.match, "fullmatch": pattern.fullmatch} | {
        name: lambda text: collections.deque(pattern.finditer(text), 0) for name in SEARCHING
    }
    used = {works[m] if m in ("match", "fullmatch") else works["finditer"] for m in known["methods"]}
    for work in used:
        texts = attacks(source, known["flags"], tries)
        if known["bytes"]:
            texts = ((lambda n, make=make: make(n).encode("utf-8", "replace")) for make in texts)
        if why := slow(work, texts):
            return why
    return ""


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:a|a)*b",  # exponential
        r"(\w+\s*)+!",
        r"\s+$",  # from each start to the end
        r"\S+@\S+",
        r".*foo",
        r"(?:api|key)(?=[\w=]*\d)",
        r"\d+\s*\d+x",  # adjacent repetitions
        r"(?s)<a.*?>x",
        r"[a-z]+(?: [A-Z]\w+)* \d",
    ],
)
def test_patterns_that_are_not_linear_are_found(pattern):
    compiled = re.compile(pattern)
    assert slow(lambda text: collections.deque(compiled.finditer(text), 0), attacks(pattern, 0, 8))


@pytest.mark.parametrize("pattern", [r"a{1,40}b", r"(?<!\s)\s++$", r"\w++(?: \w++)*+", r"x.{0,50}y", r"(?>a+)b?"])
def test_linear_patterns_pass(pattern):
    compiled = re.compile(pattern)
    assert not slow(lambda text: collections.deque(compiled.finditer(text), 0), attacks(pattern, 0, 8))
