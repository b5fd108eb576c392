import asyncio
import hashlib
import io
import json

import pytest

from inhouse.chat import Usage
from inhouse.errors import BackendError, InputError
from inhouse.store.audit import REDACTED
from inhouse.store.chain import LINKED
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.tables import AUDIT
from inhouse.types import Message, digest_of

CHANGES = {
    "kind": "'redaction'", "id": "'other'", "at_ms": "at_ms + 1", "user": "'bob'", "key": "'k2'", "model": "'base'",
    "release": "'bank/2'", "arm": "'base'", "experiment": "'e:a'", "reason": "'error'", "confidence": "0.91",
    "prompt_tokens": "51", "completion_tokens": "8", "cached_tokens": "1", "first_token_s": "0.11",
    "latency_s": "0.51", "cost_usd": "0", "content": "replace(content, '25', '20')", "salt": "'00'",
    "digest": "'00'", "hash": "'00'", "seq": "seq + 100", "about": "'other'",
}  # fmt: skip


async def fill(audit, exchange, count=5):
    made = [exchange(question=f"Question {n}", user=f"user{n % 2}") for n in range(count)]
    assert [await audit.append(one) for one in made] == list(range(1, count + 1))
    return made


async def test_an_exchange_comes_back_as_it_was(audit, exchange):
    one = exchange(experiment="live:tuned", citations=[{"passage": 1}], confidence=None)
    assert await audit.append(one) == 1
    assert audit.get(one.id) == one
    assert audit.get("other") is None
    assert audit.find() == [(1, one)]
    assert audit.verify() == audit.verify(audit.verify().head)
    assert audit.verify().ok


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "\ud800 half a pair \udfff",
        "\ud83d\ude00",
        "日本語 🏦 ‮ \u2028",
        "'; DROP TABLE audit; --",
        "\\u0000",
        "",
    ],
)
async def test_any_text_comes_back(audit, exchange, text):
    one = exchange(text, text, model=text, user=text, release=text, findings={"said": text}, key=text, reason=text)
    await audit.append(one)
    found = audit.get(one.id)
    assert found.messages[0].content.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")
    assert found.user.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")
    assert audit.verify().ok
    if text:
        assert [e.id for _, e in audit.find(user=text, release=text)] == [one.id]
    audit.redact(one.id, "ann", text)
    assert audit.verify().ok


async def test_huge_messages_and_odd_numbers_come_back(audit, exchange):
    long = "fees " * 400_000
    odd = exchange(long, latency_s=float("nan"), cost_usd=-0.0, confidence=float("inf"), user="u" * 5000, model=long)
    await audit.append(odd)
    assert audit.get(odd.id).messages[0].content == long
    assert [seq for seq, _ in audit.find(user="u" * 5000)] == [1]
    assert audit.find(user="u" * 4999) == []
    assert audit.verify().ok


@pytest.mark.parametrize("seq", [3, 5])
async def test_a_change_of_any_column_is_found(ledger, audit, exchange, tamper, seq):
    await fill(audit, exchange)
    noted = audit.verify()
    with ledger.read() as connection:
        row = dict(connection.execute(AUDIT.select().where(AUDIT.c.seq == seq)).mappings().one())
    assert CHANGES.keys() == row.keys()
    for column, change in CHANGES.items():
        tamper(f'UPDATE audit SET "{column}" = {change} WHERE seq = {seq}')
        found = audit.verify()
        assert (found.ok, found.broken_at) == (False, seq), column
        assert found.reason
        assert not audit.verify(noted.head).ok
        tamper(f"UPDATE audit SET \"{column}\" = :was WHERE id = :id OR id = 'other'", was=row[column], id=row["id"])
        assert audit.verify(noted.head).ok


async def test_a_row_taken_out_or_exchanged_is_found(audit, exchange, tamper):
    await fill(audit, exchange)
    tamper("UPDATE audit SET seq = 30 WHERE seq = 3")
    tamper("UPDATE audit SET seq = 3 WHERE seq = 4")
    tamper("UPDATE audit SET seq = 4 WHERE seq = 30")
    assert audit.verify().broken_at == 3
    tamper("DELETE FROM audit WHERE seq = 3")
    found = audit.verify()
    assert (found.ok, found.broken_at, found.rows) == (False, 3, 2)


async def test_a_chain_cut_short_is_found(audit, exchange, tamper):
    made = await fill(audit, exchange)
    noted = audit.verify().head
    with pytest.raises(InputError, match="is not a head"):
        audit.verify("5")
    tamper("DELETE FROM audit WHERE seq = 5")
    found = audit.verify()
    assert (found.ok, found.broken_at) == (False, 5)
    # Who sets the head back as well is found by whoever noted where it was.
    fourth = audit.verify().head.partition(":")[2]
    tamper("UPDATE audit_head SET seq = 4, hash = :hash", hash=fourth)
    assert audit.verify().ok
    assert audit.verify(noted).broken_at == 5
    await audit.append(made[-1])
    assert audit.verify().ok
    assert audit.verify(noted).broken_at == 5
    tamper("DELETE FROM audit_head")
    assert "head" in audit.verify().reason
    with pytest.raises(BackendError, match="head of the audit log is missing"):
        await audit.append(exchange())


async def test_everything_deleted_is_found(audit, exchange, tamper):
    assert audit.verify().ok
    await fill(audit, exchange, 2)
    tamper("DELETE FROM audit")
    assert audit.verify().broken_at == 1


async def test_redaction_leaves_the_chain_whole_and_nothing_of_the_text(ledger, audit, exchange, tmp_path):
    kept, gone = exchange("My account is 12345"), exchange("My secret is XYZZY", "I will keep XYZZY", user="eve XYZZY")
    for one in (kept, gone):
        await audit.append(one)
    inbox, feedback = Inbox(ledger), Feedback(ledger)
    handoff = inbox.add(gone, "XYZZY asked for a person")
    inbox.answer(handoff, "Never tell XYZZY", "ann")
    inbox.approve(handoff, "ann")
    feedback.add(gone.id, "eve XYZZY", -1, "You lost XYZZY")
    feedback.add(gone.id, "ann", 1)
    noted = audit.verify().head
    assert audit.redact(gone.id, "ann", "asked to") == 8
    found = audit.get(gone.id)
    assert (found.answer, found.messages[0].content, found.user) == (REDACTED, REDACTED, "")
    assert (found.release, found.latency_s, found.usage) == (gone.release, gone.latency_s, gone.usage)
    assert audit.get(kept.id) == kept
    assert audit.verify(noted).ok
    assert [seq for seq, _ in audit.find()] == [2, 1]
    assert inbox.get(handoff).status == "rejected"
    assert inbox.approved() == []
    assert sorted(o.thumb for o in feedback.for_exchange(gone.id)) == [-1, 1]
    out = io.StringIO()
    audit.export(out)
    assert "XYZZY" not in out.getvalue() + str(inbox.all()) + str(feedback.for_exchange(gone.id))
    assert "12345" in out.getvalue()
    if ledger.sqlite:
        for file in tmp_path.iterdir():
            assert b"XYZZY" not in file.read_bytes(), file
    for again in (gone.id, "unknown"):
        with pytest.raises(InputError):
            audit.redact(again, "ann", "asked to")


async def test_content_gone_without_a_redaction_is_found(audit, exchange, tamper):
    made = await fill(audit, exchange)
    tamper("""UPDATE audit SET content = '', salt = '', "user" = '' WHERE seq = 2""")
    found = audit.verify()
    assert (found.ok, found.broken_at) == (False, 2)
    assert "without a redaction" in found.reason
    audit.redact(made[2].id, "ann", "asked to")
    assert audit.verify().broken_at == 2
    tamper("""UPDATE audit SET content = '', salt = '', "user" = '' WHERE seq = 6""")  # the redaction itself
    assert audit.verify().broken_at == 2


async def test_redacted_content_put_back_is_found(ledger, audit, exchange, tamper):
    made = await fill(audit, exchange)
    with ledger.read() as connection:
        row = connection.execute(AUDIT.select().where(AUDIT.c.seq == 3)).mappings().one()
    audit.redact(made[2].id, "ann", "asked to")
    tamper("""UPDATE audit SET "user" = 'bob' WHERE seq = 3""")
    assert audit.verify().broken_at == 3
    tamper(
        """UPDATE audit SET content = :c, salt = :s, "user" = :u WHERE seq = 3""", c=row.content, s=row.salt, u=row.user
    )
    found = audit.verify()
    assert (found.broken_at, "again" in found.reason) == (3, True)


async def test_an_export_can_be_checked_without_us(audit, exchange):
    made = await fill(audit, exchange)
    audit.redact(made[1].id, "ann", "asked to")
    out = io.StringIO()
    assert audit.export(out) == 6
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    before = "0" * 64
    for row in rows:
        assert row["before"] == before
        assert digest_of([before, *(row[name] for name in LINKED)]) == row["hash"]
        if row["content"]:
            assert hashlib.sha256((row["salt"] + row["content"]).encode()).hexdigest() == row["digest"]
        before = row["hash"]
    assert json.loads(rows[0]["content"])["answer"] == made[0].answer
    assert before == audit.verify().head.partition(":")[2]
    assert audit.export(io.StringIO(), until="2001-01-01") == 0


async def test_find_by_what_it_was_and_page_by_page(audit, exchange):
    one = exchange('She said "hi"\n50% off_all', user="ann", at="2026-01-01T10:00:00Z", release="bank/2")
    two = exchange("Opening hours?", "We open at NINE.", user="bob", at="2026-01-02T10:00:00+00:00")
    three = exchange("Was kostet es?", "Gebühr: 5 €", user="ann", at="2026-01-03T12:00:00+02:00")
    for each in (one, two, three):
        await audit.append(each)

    def ids(**conditions):
        return [seq for seq, _ in audit.find(**conditions)]

    assert ids() == [3, 2, 1]
    assert ids(limit=2) == [3, 2]
    assert ids(limit=2, before=2) == [1]
    assert ids(user="ann") == [3, 1]
    assert ids(release="bank/2") == [1]
    assert ids(since="2026-01-02", until="2026-01-03T10:00:00Z") == [2]
    assert ids(since="2026-01-03T10:00:00") == [3]
    assert ids(text='"HI"\n50%') == [1]
    assert ids(text="off_all") == [1]
    assert ids(text="offxall") == []
    assert ids(text="open at nine") == [2]
    assert ids(text="Gebühr: 5 €") == [3]
    assert ids(text="role") == []  # a key of the JSON, which nobody said
    with pytest.raises(InputError, match="not a time"):
        audit.find(since="yesterday")


async def test_one_bad_exchange_leaves_the_others(audit, exchange):
    good, twice = exchange(), exchange()
    await audit.append(twice)
    bad = exchange(at="yesterday")
    results = await asyncio.gather(*map(audit.append, [good, twice, bad, exchange()]), return_exceptions=True)
    assert [type(r) for r in results] == [int, BackendError, InputError, int]
    assert audit.trouble == ""
    assert audit.verify().rows == 3


async def test_an_append_whose_caller_has_gone_is_written(audit, exchange):
    one = exchange()
    task = asyncio.create_task(audit.append(one))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await audit.append(exchange())
    assert audit.get(one.id) == one


async def test_closing_writes_what_waits_and_refuses_more(audit, exchange):
    tasks = [asyncio.create_task(audit.append(exchange())) for _ in range(50)]
    await asyncio.sleep(0)
    audit.close()
    assert sorted(await asyncio.gather(*tasks)) == list(range(1, 51))
    with pytest.raises(BackendError, match="closed"):
        await audit.append(exchange())


async def test_messages_with_tool_calls_come_back(audit, exchange):
    call = Message(
        role="assistant", content="", tool_calls=({"id": "1", "function": {"name": "fee", "arguments": "{}"}},)
    )
    one = exchange().model_copy(update={"messages": (call, Message(role="tool", content="5", tool_call_id="1"))})
    await audit.append(one.model_copy(update={"usage": Usage(prompt_tokens=2**40)}))
    assert audit.get(one.id).messages == one.messages


# --- exchanges that are not complete ------------------------------------------------------------------------------


async def test_a_question_is_there_before_its_answer_and_once_after_it(audit, exchange):
    done, cut = exchange("Done?", "Yes, done."), exchange("Cut?", "Wires cost 25 dollars.", user="bob")
    for one in (done, cut):
        await audit.begin(one.model_copy(update={"answer": "", "reason": ""}))
    await audit.sent(cut.id, "Wires cost ")
    await audit.sent(done.id, "Yes, ")
    await audit.sent(cut.id, "25 ")
    await audit.append(done)
    assert audit.get(done.id) == done
    left = audit.get(cut.id)
    assert (left.reason, left.answer, left.user) == ("interrupted", "Wires cost 25 ", "bob")
    assert [(seq, e.reason) for seq, e in audit.find()] == [(6, "stop"), (2, "interrupted")]
    assert [e.id for _, e in audit.find(user="bob", text="cut?")] == [cut.id]
    assert audit.place(cut.id).seq == 2
    out = io.StringIO()
    audit.export(out)
    assert out.getvalue().count("Done?") == 1
    assert audit.verify().ok
    await audit.append(cut)
    assert audit.get(cut.id) == cut
    assert audit.verify().ok
    assert len(audit.find()) == 2


async def test_an_interrupted_exchange_can_be_redacted(audit, exchange):
    cut, other = exchange("XYZZY?"), exchange()
    await audit.begin(cut.model_copy(update={"answer": ""}))
    await audit.sent(cut.id, "XYZZY ")
    await audit.append(other)
    audit.redact(cut.id, "ann", "asked to")
    out = io.StringIO()
    audit.export(out)
    assert "XYZZY" not in out.getvalue()
    assert audit.verify().ok
    assert audit.get(cut.id).answer == REDACTED
    assert [e.id for _, e in audit.find()] == [other.id]
    with pytest.raises(InputError, match="already redacted"):
        audit.redact(cut.id, "ann", "asked to")
    await audit.append(cut)  # the process was still answering
    assert audit.verify().ok


async def test_changes_to_what_was_begun_are_found(ledger, audit, exchange, tamper):
    cut, done = exchange("Cut?"), exchange("Done?")
    await audit.begin(cut)
    await audit.sent(cut.id, "Wires ")
    await audit.begin(done)
    with ledger.read() as connection:
        rows = {r["seq"]: dict(r) for r in connection.execute(AUDIT.select()).mappings()}
    await audit.append(done)
    put_back = """UPDATE audit SET content = :c, salt = :s, "user" = :u, about = :a WHERE seq = :n"""
    for seq, change in ((1, "content = '', salt = '', \"user\" = ''"), (2, "content = '', salt = ''"), (2, "about = 'other'"),
                        (1, "content = replace(content, 'Cut', 'Put')"), (3, "about = 'other'")):  # fmt: skip
        assert audit.verify().ok
        tamper(f"UPDATE audit SET {change} WHERE seq = {seq}")
        found = audit.verify()
        assert (found.ok, found.broken_at) == (False, seq), change
        if seq == 3:
            tamper("UPDATE audit SET about = :a WHERE seq = 3", a=done.id)
        else:
            row = rows[seq]
            tamper(put_back, c=row["content"], s=row["salt"], u=row["user"], a=row["about"], n=seq)
    row = rows[3]
    tamper(put_back, c=row["content"], s=row["salt"], u=row["user"], a=row["about"], n=3)
    assert "again" in audit.verify().reason


async def test_what_was_sent_is_not_taken_for_that_of_another_exchange(audit, exchange, tamper):
    cut, done = exchange("Cut?"), exchange("Done?")
    await audit.begin(cut)
    await audit.sent(cut.id, "Wires ")
    await audit.begin(done)
    await audit.append(done)
    assert audit.verify().ok
    tamper("UPDATE audit SET content = '', salt = '', \"user\" = '', about = :a WHERE seq < 3", a=done.id)
    found = audit.verify()
    assert (found.ok, found.broken_at) == (False, 1)
    assert found.reason == "what it is about was changed"


async def test_two_heads_of_one_entry_cannot_both_be_right(audit, exchange):
    await fill(audit, exchange)
    head = audit.head()
    other = f"{head.partition(':')[0]}:{'a' * 64}"
    assert audit.verify(head).ok
    for heads in ((other, head), (head, other)):
        found = audit.verify(*heads)
        assert (found.ok, found.broken_at) == (False, 5)
        assert "kept elsewhere" in found.reason
