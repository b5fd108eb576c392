"""Takes the screenshots of this folder from a running gateway: python docs/console/screenshots.py URL ADMIN_KEY.

It asks the questions of the example bank in the playground, hands one to a person, replies, and looks at the pages.
Needs Chromium and playwright.
"""

import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
QUESTIONS = (
    "What does a wire transfer cost?",
    "I lost my debit card, what now?",
    "How do I apply for a business loan?",
)
HARD = "Can I rent a safe deposit box at the Millbrook branch?"
REPLY = "Yes. The Millbrook branch rents safe deposit boxes from $45 a year; bring an ID and ask at the counter."
ANSWER_MS = 120_000


def ask(page: Page, question: str) -> None:
    """Asks both models in a new conversation, and waits for both answers."""
    page.get_by_role("button", name="New conversation").click()
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("button", name="Good")).to_have_count(2, timeout=ANSWER_MS)


def shoot(page: Page, name: str, whole: bool = False) -> None:
    page.screenshot(path=str(HERE / f"{name}.png"), full_page=whole)


def take(page: Page, other: Page) -> None:
    """The pictures, with `page` as the user's tab and `other` as the reviewer's."""
    for question in QUESTIONS:
        ask(page, question)
        page.get_by_role("button", name="Good").last.click()
    shoot(page, "playground")
    ask(page, HARD)
    custom = page.locator(".arm").nth(1)
    custom.get_by_role("button", name="Bad").click()
    custom.get_by_label("What was wrong?").fill("I asked about Millbrook.")
    custom.get_by_role("button", name="Send").click()
    if custom.get_by_role("button", name="Ask a person").count():
        custom.get_by_role("button", name="Ask a person").click()
    custom.get_by_text("Handed to a person").wait_for()
    other.goto("/console/inbox")
    other.get_by_role("link", name=HARD).first.click()
    other.get_by_label("The answer that the assistant should have given").fill(REPLY)
    shoot(other, "reply")
    other.get_by_role("button", name="Send and approve for training").click()
    custom.get_by_text("Reply from a colleague").wait_for(timeout=ANSWER_MS)
    shoot(page, "person-answers")
    for name, path in (("verdict", "verdict"), ("traffic", "traffic?span=6h"), ("audit", "audit")):
        other.goto(f"/console/{path}")
        other.wait_for_timeout(500)  # charts are drawn after the page
        shoot(other, name, whole=name != "audit")


def main(url: str, key: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 860}, color_scheme="light")
        page = context.new_page()
        page.goto("/console/sign-in")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/console/home")
        page.goto("/console/playground")
        take(page, context.new_page())
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
