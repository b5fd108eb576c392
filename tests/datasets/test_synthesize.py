import json

import pytest

from inhouse.chat import Delta, Finish
from inhouse.datasets.synthesize import from_documents, from_teacher
from inhouse.errors import BackendError
from inhouse.types import Document, Silent

TEXT = """# Wire transfers

Intro.

## Fees

| Service | Fee | Arrives |
|---|---|---|
| Domestic wire | $18 | the same day |
| Foreign wire | $41 | in 3 days |

## Cut-off times

Wires sent before 15:40 leave on the **same day**. Later ones leave the next morning.

## How to cancel a wire

- Call [the desk](https://x.example)
- Give form AF-12

## Questions

### Can I send one on Sunday?

No, wires leave from Monday to Friday.

### Are wire transfers insured?

Yes, up to $9,000.

## Reviews

I sent money with my phone and it took two days, which I did not expect at all.
"""


def document(**more):
    return Document(**({"source": "wires.md", "text": TEXT, "title": "Wire transfers"} | more))


def test_pairs_from_structure():
    made = from_documents([document()])
    pairs = {e.question: e.target for e in made}
    assert pairs["Are wire transfers insured?"] == "Yes, up to $9,000."
    sunday = next(q for q in pairs if q.endswith("Can I send one on Sunday?"))
    assert "wire transfers" in sunday
    assert "For domestic wire, the fee is $18." in pairs.values()
    assert "Wires sent before 15:40 leave on the same day. Later ones leave the next morning." in pairs.values()
    assert any(
        q.endswith("How do I cancel a wire?") and a == "Call the desk. Give form AF-12." for q, a in pairs.items()
    )
    assert not any("I sent money" in a for a in pairs.values())
    assert {(e.group, e.origin, e.sources[0].document) for e in made} == {("wires.md", "synthetic", "wires.md")}
    assert len({e.id for e in made}) == len(made)


def test_restricted_documents_are_left_out():
    assert from_documents([document(access=frozenset({"staff"}))]) == []


def test_footers_and_remarks_are_no_answers():
    text = "# {0}\n\n## Price of {0}\n\nIt costs ${1} for every year that you keep it.\n\n## Help\n\nThe desk is open from Monday to Friday.\n\n"
    table = "## Fees\n\n| Service | Fee | Notes |\n|---|---|---|\n| {0} copy | ${1} | each hour |\n| {0} proof | $9{1} | by post |\n"
    names = ("Alpha", "Beta", "Gamma")
    made = from_documents([
        Document(source=f"{n}.md", title=name, text=(text + table).format(name, n)) for n, name in enumerate(names)
    ])  # fmt: skip
    said = [e.target for e in made]
    assert len([t for t in said if "for every year" in t]) == 3
    assert not [t for t in said if "Monday" in t or "each hour" in t]
    assert len([t for t in said if "the fee is" in t]) == 6


class Teacher:
    name = "teacher"

    def __init__(self, *replies):
        self.replies = list(replies)

    async def stream(self, request):
        assert request.json_schema
        reply = self.replies.pop(0) if self.replies else "nothing"
        if isinstance(reply, Exception):
            raise reply
        yield Delta(text=reply)
        yield Finish(reason="stop")


async def test_a_teachers_pairs_must_be_grounded():
    text = "## Fees\n\nA domestic wire costs $18 and leaves on the same day when it is sent before 15:40 on weekdays."
    pairs = [
        {"question": "What does a domestic wire cost?", "answer": "A domestic wire costs $18."},
        {"question": "What does a foreign wire cost?", "answer": "A domestic wire costs $19."},
        {"question": "What does the text say of wires?", "answer": "A domestic wire costs $18."},
        {"question": "Who invented the telegraph?", "answer": "Samuel Morse invented that in America."},
    ]
    one = document(text=text)
    made, refused = await from_teacher([one], Teacher("Here: " + json.dumps({"pairs": pairs})), 4, Silent())
    assert [e.target for e in made] == ["A domestic wire costs $18."]
    assert refused.total() == 3
    made, refused = await from_teacher([one], Teacher("no JSON"), 4, Silent())
    assert (made, dict(refused)) == ([], {"not the requested JSON": 1})
    with pytest.raises(BackendError):
        await from_teacher([one], Teacher(BackendError("down")), 4, Silent())
