"""Values found again, and parts that do not overlap."""

import random
import re

from inhouse.privacy.match import Parts, spaced, whole, with_values


def test_values_are_replaced_as_an_alternative_for_each_would():
    rng = random.Random(1)
    letters = "ab -é王1_カ０ー"
    for _ in range(500):
        values = dict.fromkeys("".join(rng.choices(letters, k=rng.randint(1, 5))) for _ in range(rng.randint(1, 12)))
        text = "".join(rng.choices(letters, k=40))
        longest = sorted(values, key=len, reverse=True)
        pattern = "|".join(whole(v, re.escape(v)) for v in longest if len(v) > 1 or spaced(v).strip())
        expected = re.sub(pattern, r"<\g<0>>", text) if pattern else text
        assert with_values(text, {v: f"<{v}>" for v in values}) == expected


def test_parts_know_what_overlaps():
    parts = Parts([(10, 20), (0, 5)])
    parts.add(5, 8)
    assert parts.overlapping(4, 6) == [(5, 8), (0, 5)]
    assert parts.overlapping(8, 10) == parts.overlapping(20, 30) == []
    assert parts.overlapping(0, 100) == [(10, 20), (5, 8), (0, 5)]
    parts.remove(5, 8)
    assert parts.overlapping(4, 10) == [(0, 5)]
