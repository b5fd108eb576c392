"""Round trip: documents made from known facts hold every fact when they are read, and no other number.

ROUNDTRIP=1000 tries as many documents instead of a few, and prints formats by languages:

    ROUNDTRIP=1000 python -m pytest -s tests/documents/test_roundtrip.py
"""

import os

import pytest
from roundtrip.check import cases, check, table

from inhouse.documents import parse
from inhouse.documents.parsed import Parsed

COUNT = int(os.environ.get("ROUNDTRIP", "60"))


def test_documents_hold_every_fact_and_no_other_number():
    results = [check(*case) for case in cases(COUNT)]
    if "ROUNDTRIP" in os.environ:
        print("\n" + table(results))
    bad = [r for r in results if (r.wrong or r.lost)]
    assert not bad, "\n".join(map(str, bad[:20]))
    assert sum(not r.skipped for r in results) >= COUNT / 2


@pytest.mark.parametrize(("old", "new"), [("2000", "200"), ("2000", "2000 7"), ("-17", ""), ("%", ""), ("$", "£")])
def test_the_check_sees_what_is_wrong(old, new, monkeypatch):
    read = parse.FORMATS[".csv"]
    assert not any(r.wrong or r.lost for r in (check("csv", "en", seed) for seed in range(12)))
    monkeypatch.setitem(parse.FORMATS, ".csv", lambda data: Parsed(text=read(data).text.replace(old, new)))
    assert any(r.wrong or (r.lost and r.silent) for r in (check("csv", "en", seed) for seed in range(12)))
