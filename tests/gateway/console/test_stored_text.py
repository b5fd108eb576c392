"""Text of users, documents, models and reviewers in every page, in a real browser: it is shown, and nothing of it runs."""

import re

import pytest

from inhouse.gateway.console.seams import Row
from inhouse.types import Passage, Review, Source

ATTACKS = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "quote": "\"'><svg onload=alert(1)>",
    "closing": "</title></textarea></script></template><script>alert(1)</script>",
    "template": "{{ 7*7 }}{% raw %}${7*7}",
    "link": "javascript:alert(1)",
    "markdown": "[click](javascript:alert(1)) ![x](x onerror=alert(1)) <https://evil.example>",
    "htmx": "<b hx-get=/console/settings hx-trigger=load>x</b>",
}
ATTACK = " ".join(ATTACKS.values())
LOOK = """() => ({
  alien: [...document.querySelectorAll('script:not([src]), img, iframe, object, embed, base, style, b[hx-get], svg[onload]')].map((e) => e.outerHTML),
  handlers: [...document.querySelectorAll('*')].filter((e) => [...e.attributes].some((a) => a.name.startsWith('on'))).map((e) => e.outerHTML),
  links: [...document.querySelectorAll('a[href], form[action]')].map((e) => e.getAttribute('href') ?? e.getAttribute('action')),
  text: document.body.textContent + document.title + [...document.querySelectorAll('textarea, input')].map((e) => e.value).join(' '),
})"""


def poisoned(house):
    """Attacks wherever text of others comes in; returns the pages that show it."""
    bank = house.bank
    bank.all.append(house.chunk(f"{ATTACK}/a.md", f"title {ATTACK}", f"heading {ATTACK}", f"wire {ATTACK}", access=[]))
    bank.failed.append((f"failed {ATTACK}.pdf", f"reason {ATTACK}"))
    bad = house.example(ATTACK, f"question {ATTACK}", f"answer {ATTACK}", (Source(document=ATTACK, text=ATTACK),))
    bad = bad.model_copy(update={"tags": (ATTACK,), "group": ATTACK, "time": ATTACK})
    bank.parts["train"].append(Row(example=bad))
    bank.parts["removed"].append(Row(example=bad, left_out=f"left out {ATTACK}"))
    bank.said[ATTACK] = Review(
        id=ATTACK, status="approved", question=f"edited {ATTACK}", target=ATTACK, by=ATTACK, at=ATTACK
    )
    report = bank._report
    bank._report = report.model_copy(update={
        "subject": report.subject.model_copy(update={"base_model": ATTACK}),
        "recommendation": report.recommendation.model_copy(update={"sentence": ATTACK}),
        "arms": {**report.arms, ATTACK: report.arms["rag"]},
    })  # fmt: skip
    bank.arms = {ATTACK: 1, f"second {ATTACK}": 1}
    house.keys.create(ATTACK, "user", [ATTACK])
    passage = Passage(source=ATTACK, title=ATTACK, heading=ATTACK, text=ATTACK)
    said = house.exchange(
        f"id {ATTACK}", f"asked {ATTACK}", f"said {ATTACK}", user=ATTACK, key=ATTACK, model=ATTACK, release=ATTACK, arm=ATTACK, reason="stop",
        experiment=ATTACK, passages=(passage,), citations=[{"sentence": ATTACK, "passage": ATTACK, "source": ATTACK}],
        findings=[{"rail": ATTACK, "side": ATTACK, "action": ATTACK}],
    )  # fmt: skip
    house.record(said)
    house.feedback.add(said.id, ATTACK, -1, f"comment {ATTACK}")
    handoff = house.inbox.add(said, f"why {ATTACK}")
    house.inbox.answer(handoff, f"reply {ATTACK}", ATTACK)
    return {
        "knowledge": {}, "knowledge?view=failed": {}, "knowledge?q=": {"q": f"wire {ATTACK}"},
        "knowledge/document": {"source": f"{ATTACK}/a.md"}, "data": {}, "data?part=removed": {}, "data?part=": {"q": ATTACK},
        "data/example?part=train": {"id": ATTACK}, "verdict": {}, "experiments": {}, "inbox?status=answered": {},
        f"inbox/conversation?id={handoff}": {}, "audit": {}, "audit?x": {"q": "said", "user": ATTACK, "release": ATTACK},
        "audit/exchange": {"id": said.id}, "settings": {}, "traffic": {}, "playground": {},
    }  # fmt: skip


@pytest.fixture(scope="module")
def pages(house):
    return poisoned(house)


def test_what_is_stored_is_shown_and_does_not_run(house, pages, visit):
    with visit(house, "admin") as tab:
        for page, given in pages.items():
            query = "&".join(f"{k}={_quoted(v)}" for k, v in given.items())
            tab.page.goto(f"/console/{page}{'&' if '?' in page else '?'}{query}")
            seen = tab.page.evaluate(LOOK)
            assert not seen["alien"], page
            assert not seen["handlers"], page
            for link in seen["links"]:
                assert link.startswith(("/console", "#")), (page, link)
            if page not in ("traffic", "playground"):
                for name, attack in ATTACKS.items():
                    assert attack in seen["text"], f"{page}: the {name} attack is to be read, as text"
            assert not tab.trouble, (page, tab.trouble)


def test_a_live_conversation_with_attacks(house, pages, visit):
    """Question, answer, passages and a reviewer's reply come as text; the citation is a click away, its source safe."""
    question = f"wire {ATTACK}"
    house.custom.answers[question] = f"The answer is {ATTACK}. More."
    with visit(house, "admin") as tab:
        page = tab.page
        page.goto("/console/playground")
        page.get_by_label("Your question").fill(question)
        page.keyboard.press("Enter")
        arm = page.locator(".arm").nth(1)
        arm.get_by_role("button", name="Ask a person").wait_for()
        assert ATTACK in arm.locator(".answer").inner_text()
        arm.get_by_role("button", name="Passage 1").first.click()
        assert arm.locator(".passage").first.evaluate("(e) => e === document.activeElement")
        assert arm.locator(".passage a").first.get_attribute("href").startswith("/console/knowledge/document?source=")
        arm.get_by_role("button", name="Bad").click()
        arm.get_by_label("What was wrong?").fill(ATTACK)
        arm.get_by_role("button", name="Send").click()
        arm.get_by_text("Thank you.").wait_for()
        arm.get_by_role("button", name="Ask a person").click()
        arm.get_by_text("Handed to a person").wait_for()
        waiting = house.inbox.first("waiting", 100)[-1]
        assert [o.comment for o in house.feedback.for_exchange(waiting.exchange_id)] == [ATTACK]
        house.inbox.answer(waiting.id, f"A person says {ATTACK}", "Ines")
        arm.get_by_text("A person says").wait_for()
        assert ATTACK in arm.locator(".person").inner_text()
        assert not page.evaluate(LOOK)["alien"]
        assert not tab.trouble


def test_a_stream_is_shown_as_it_comes_and_can_be_stopped(house, pages, visit):
    house.custom.answers["Tell me a long story"] = "word " * 4000
    house.custom.pause_s = 0.01  # forty seconds in all
    with visit(house, "user") as tab:
        page = tab.page
        page.get_by_label("Your question").fill("Tell me a long story")
        page.get_by_role("button", name="Ask", exact=True).click()
        arm = page.locator(".arm").nth(1)
        page.wait_for_function(
            "() => document.querySelectorAll('.arm')[1].querySelector('.answer .pre')?.textContent.length > 50"
        )
        page.get_by_role("button", name="Stop").click()
        page.wait_for_function("() => !document.querySelector('#send').disabled")
        shown = arm.locator(".answer .pre").first.inner_text()
        assert re.match("word word", shown)
        assert len(shown.split()) < 4000
        assert arm.locator(".passage a").count() == 0, "a user's role does not open the knowledge"
        assert not tab.trouble


def test_the_report_has_no_part_in_the_session(house, visit):
    with visit(house, "admin") as tab:
        tab.page.goto("/console/verdict/report")
        assert tab.page.title() in ("null", "report"), "scripts of the report have neither cookie nor origin"


def _quoted(text):
    from urllib.parse import quote

    return quote(text, safe="")
