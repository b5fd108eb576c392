"""The picture of a procedure: everything is in it, nothing lies on anything else, no text becomes markup."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.agents.draw import described, svg
from inhouse.agents.layout import laid_out, spread
from inhouse.agents.procedure import to_procedure

DATA = {
    "name": "book", "title": "Book <now> & \"here\"",
    "slots": {"day": {"ask": "?"}, "time": {"ask": "?"}},
    "states": [
        {"name": "start", "say": "Hello </text><script>alert(1)</script>", "collect": ["day"], "next": "look"},
        {"name": "look", "call": {"tool": "free", "with": {"day": "{day}"}, "as": "times", "on_error": "person"},
         "next": [{"when": "len(times) < 1", "go": "start"}, {"when": "times == 'x'", "go": "look"}, {"go": "book"}]},
        {"name": "book", "confirm": "{day}?", "otherwise": "start", "next": "done"},
        {"name": "done", "end": True},
        {"name": "person", "hand_off": "no calendar"},
    ],
}  # fmt: skip


@pytest.fixture
def procedure():
    return to_procedure(DATA, "test")


def texts(root):
    return [
        " ".join(span.text or "" for span in text.findall("{*}tspan"))
        for text in root.iter("{http://www.w3.org/2000/svg}text")
    ]


def test_states_and_conditions_are_in_the_picture(procedure):
    root = ElementTree.fromstring(svg(procedure))
    shown = texts(root)
    for expected in (
        "start", "day", "free with day, as times", "the call fails", "len(times) < 1", "times == 'x'", "otherwise", "no", "yes",
        "{day}?", "ends", "hands off", "no calendar",
    ):  # fmt: skip
        assert expected in shown
    arrows = [p for p in root.iter("{http://www.w3.org/2000/svg}path") if "marker-end" in p.attrib]
    assert len(arrows) == 7 + 1  # of the edges, and of the mark of the first state


def test_texts_are_escaped(procedure):
    text = svg(procedure)
    assert "<script" not in text
    assert "Hello </text><script>alert(1)</script>" in "".join(ElementTree.fromstring(text).itertext())


def test_it_is_described_in_words(procedure):
    root = ElementTree.fromstring(svg(procedure, "book"))
    assert root.attrib["role"] == "img"
    ids = {e.attrib["id"]: e for e in root.iter() if "id" in e.attrib}
    title, desc = (ids[i] for i in root.attrib["aria-labelledby"].split())
    assert title.text == 'Procedure: Book <now> & "here"'
    assert "look leads to person if the call fails, to start if len(times) < 1" in desc.text
    assert "done is an end" in desc.text
    assert "The conversation is in book." in desc.text
    assert described(to_procedure({"name": "p", "states": []}, "test")) == "There are no states."


def test_only_the_current_state_is_marked(procedure):
    root = ElementTree.fromstring(svg(procedure, "book"))
    (current,) = [g for g in root.iter() if g.attrib.get("aria-current") == "step"]
    assert "book" in "".join(current.itertext())
    assert not [g for g in ElementTree.fromstring(svg(procedure)).iter() if "aria-current" in g.attrib]


def test_a_page_with_a_content_policy_can_hold_it(procedure):
    """The console allows no inline styles; the colors are its variables."""
    assert "<style" not in svg(procedure, inline=True)
    assert "style=" not in svg(procedure)
    assert "prefers-color-scheme:dark" in svg(procedure)
    assert "var(--ink," in svg(procedure, inline=True)


def test_a_state_that_does_not_exist_is_drawn_as_a_fault():
    data = {"name": "p", "states": [{"name": "a", "next": "b"}]}
    assert "there is no such state" in texts(ElementTree.fromstring(svg(to_procedure(data, "test"))))


def test_the_same_procedure_gives_the_same_picture(procedure):
    assert svg(procedure, "book") == svg(to_procedure(DATA, "again"), "book")


def rectangles(root):
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        yield x, y, x + width, y + height


GRAPHS = st.integers(1, 14).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1), st.integers(0, 60)), max_size=2 * n),
    )
)


@settings(max_examples=120, deadline=None)
@given(GRAPHS)
def test_boxes_and_labels_do_not_overlap_and_nothing_is_cut(graph):
    count, arrows = graph
    states = [
        {"name": f"s{i}", "say": "word " * (i % 7), "next": [
            {"go": f"s{b}", "when": "x == '" + "y " * length + "'"} for a, b, length in arrows if a == i]}
        for i in range(count)
    ]  # fmt: skip
    text = svg(to_procedure({"name": "p", "states": states}, "test"))
    root = ElementTree.fromstring(text)
    width, height = (float(root.attrib[key]) for key in ("width", "height"))
    found = list(rectangles(root))
    assert len(found) == count + sum(a != b for a, b, _ in arrows)
    for i, (left, top, right, bottom) in enumerate(found):
        assert left >= 0
        assert top >= 0
        assert right + 24 <= width
        assert bottom + 24 <= height
        for other_left, other_top, other_right, other_bottom in found[:i]:
            apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
            assert apart
    for path in re.findall(r' d="(M[^"]+)" fill="none"', text):
        numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", path)]
        assert all(-24 <= n <= max(width, height) for n in numbers)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-1000, 1000), st.floats(0.1, 10)), max_size=12))
def test_spread_values_never_decrease_and_stay_close(pairs):
    wanted, weights = [w for w, _ in pairs], [w for _, w in pairs]
    found = spread(wanted, weights)
    assert len(found) == len(wanted)
    assert all(a <= b + 1e-6 for a, b in zip(found, found[1:], strict=False))
    if wanted == sorted(wanted):
        assert found == wanted


def test_a_straight_line_is_drawn_straight():
    layout = laid_out([(50, 50, 30)] * 4, [(0, 1, 0, 0), (1, 2, 40, 20), (2, 3, 0, 0)])
    assert max(n.x for n in layout.nodes) - min(n.x for n in layout.nodes) < 0.01


@pytest.mark.parametrize("count", [60])
def test_a_large_procedure_is_drawn_in_seconds(count):
    import time

    states = [
        {"name": f"s{i}", "next": [{"when": "x", "go": f"s{(i * 7 + 3) % count}"}, {"go": f"s{(i + 1) % count}"}]}
        for i in range(count)
    ]
    start = time.monotonic()
    svg(to_procedure({"name": "p", "states": states}, "test"))
    assert time.monotonic() - start < 20
