"""Takes the screenshots of agents, runs, and approvals: python docs/console/agents_screenshots.py, from the repository.

It opens the salon of the console's tests, talks to its agents in every way a call can end, and looks at the pages.
Needs Chromium, playwright, and Pillow.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "gateway" / "console"))

import salon  # noqa: E402
from conftest import CHROMIUM, FLAGS, House  # noqa: E402

from inhouse.store.tables import now_ms  # noqa: E402


def seed(house: House) -> dict[str, str]:
    """Conversations whose calls have each status; returns the pages by name."""
    done = salon.gift(house, 150)
    house.calls.approve(done.approval, "Ines Okafor", now_ms() + 3_600_000)
    talk = salon.Talk(house)
    talk.last = done.last
    talk.go_on()
    talk.close()
    salon.gift(house, 40, "ben@example.com", user="ben")
    declined = salon.gift(house, 300, "mia@example.com", user="mia")
    house.calls.decline(declined.approval, "Ines Okafor", "the account is new")
    waits = salon.gift(house, 250, "carla@example.com", user="carla")
    salon.gift(house, 60, "dora@nowhere.example", user="dora")
    salon.cancelled(house, who="staff", user="tom")
    return {"approval": f"inbox/call?key={waits.approval}", "agents": "agents", "agent": "agents/agent?name=inquiry",
            "run": f"run?id={done.id}#turn-4"}  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        house = House(Path(folder))
        house.state.project = house.state.project.model_copy(update={"name": "Copper Lane Salon"})
        salon.open_salon(house)
        try:
            pages = seed(house)
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            context = browser.new_context(
                base_url=house.url, viewport={"width": 1280, "height": 860}, color_scheme="light"
            )
            page = context.new_page()
            page.goto("/console/sign-in")
            page.get_by_label("API key").fill(house.secrets["admin"])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/console/playground")
            for name, path in pages.items():
                page.goto(f"/console/{path}")
                file = HERE / f"{name}.png"
                page.screenshot(path=str(file))
                Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)
            browser.close()
        finally:
            house.close()


if __name__ == "__main__":
    main()
