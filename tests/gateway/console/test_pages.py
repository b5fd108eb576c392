"""Every page in a real browser: light, dark and on a phone; what each must have, and nothing on the console."""

import os
from pathlib import Path

import pytest

PAGES = {
    "home": "home", "playground": "playground", "inbox": "inbox", "verdict": "verdict", "knowledge": "knowledge",
    "search": "knowledge?q=what+does+a+wire+cost", "failed": "knowledge?view=failed",
    "document": "knowledge/document?source=payments/wire-transfers.md", "data": "data", "removed": "data?part=removed",
    "example": "data/example?id=ex-000&part=train", "traffic": "traffic?span=24h", "experiments": "experiments", "incidents": "incidents",
    "audit": "audit",
    "actions": "actions",
    "settings": "settings", "not-found": "nothing-here",
}  # fmt: skip
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}, "has_touch": True},
}
CHECK = """() => {
  const named = (e) => e.labels?.length || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby');
  const fields = [...document.querySelectorAll('input:not([type=hidden]), select, textarea')];
  const acts = [...document.querySelectorAll('button, a[href]')];
  return {
    title: document.title, h1: document.querySelectorAll('h1').length, lang: document.documentElement.lang,
    main: document.querySelectorAll('main').length,
    unlabelled: fields.filter((e) => !named(e)).map((e) => e.outerHTML),
    unnamed: acts.filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label'))).map((e) => e.outerHTML),
    handlers: [...document.querySelectorAll('*')].filter((e) => [...e.attributes].some((a) => a.name.startsWith('on') || a.name === 'style') && !e.closest('.uplot')).map((e) => e.outerHTML),
    ids: [...document.querySelectorAll('[id]')].map((e) => e.id),
    wide: document.documentElement.scrollWidth - innerWidth,
    ground: getComputedStyle(document.body).backgroundColor,
  };
}"""


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_whole(busy_house, visit, look):
    with visit(busy_house, "admin", **LOOKS[look]) as tab:
        pages = dict(PAGES)
        pages["conversation"] = f"inbox/conversation?id={busy_house.inbox.first('waiting', 1)[0].id}"
        pages["exchange"] = f"audit/exchange?id={busy_house.audit.find(text='wire', limit=1)[0][1].id}"
        titles = set()
        for name, path in pages.items():
            tab.page.goto(f"/console/{path}")
            seen = tab.page.evaluate(CHECK)
            _keep(tab.page, f"{name}-{look}")
            assert seen["title"].endswith("· First National Bank"), (name, seen["title"])
            assert (seen["h1"], seen["main"], seen["lang"]) == (1, 1, "en"), name
            assert not seen["unlabelled"], (name, seen["unlabelled"])
            assert not seen["unnamed"], (name, seen["unnamed"])
            assert not seen["handlers"], (name, seen["handlers"])
            assert len(seen["ids"]) == len(set(seen["ids"])), name
            assert seen["wide"] <= 0, f"{name} is {seen['wide']} px too wide at {LOOKS[look]['viewport']}"
            dark = sum(int(c) for c in seen["ground"].strip("rgb()").split(",")[:3]) < 200
            assert dark == (look == "dark"), (name, seen["ground"])
            titles.add(seen["title"])
        assert len(titles) >= 11
        expected = {"console: Failed to load resource: the server responded with a status of 404 (Not Found)"}
        assert set(tab.trouble) <= expected, tab.trouble


def test_a_charts_legend_tells_the_last_moment_until_one_points_at_another(busy_house, visit):
    with visit(busy_house, "admin") as tab:
        tab.page.goto("/console/traffic")
        value = tab.page.locator(".chart .u-legend .u-value").first
        at_rest = value.text_content()
        assert at_rest.startswith("20"), at_rest  # a date
        tab.page.locator(".chart .u-over").first.hover(position={"x": 1, "y": 20})
        tab.page.mouse.move(0, 0)
        tab.page.wait_for_timeout(200)
        assert value.text_content() == at_rest


def test_sign_in_and_menu_on_a_phone(busy_house, visit):
    with visit(busy_house, "", **LOOKS["phone"]) as tab:
        tab.page.goto("/console/")
        _keep(tab.page, "sign-in-phone")
        assert tab.page.evaluate(CHECK)["wide"] <= 0
        tab.page.get_by_label("API key").fill(busy_house.secrets["reviewer"])
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url("**/console/home")
        link = tab.page.get_by_role("link", name="Knowledge")
        assert not link.is_visible()
        tab.page.get_by_role("button", name="Menu").click()
        _keep(tab.page, "menu-phone")
        assert tab.page.evaluate(CHECK)["wide"] <= 0
        link.click()
        tab.page.wait_for_url("**/console/knowledge")
        assert not tab.trouble


def test_the_page_of_a_passage_is_shown_with_the_passage_marked(house, visit, tmp_path):
    from reportlab.pdfgen import canvas

    lines = ["Fees of 2026", "An outgoing domestic wire costs $25. Wires sent before 4 p.m. leave the same day.",
             "An incoming wire is free.", "Stopping a payment costs $30."]  # fmt: skip
    paper = canvas.Canvas(str(tmp_path / "fees.pdf"), pagesize=(595, 842))
    for n, line in enumerate(lines):
        paper.setFont("Helvetica", 18 if n == 0 else 11)
        paper.drawString(72, 740 - 26 * n, line)
    paper.save()
    for source, access in (("fees.pdf", ()), ("staff/fees.pdf", ["staff"])):
        chunk = house.chunk(source, "Fees of 2026", "", lines[1], access=access)
        house.bank.all.append(chunk.model_copy(update={"page": 1, "box": (0.12, 0.142, 0.83, 0.158)}))
        house.bank.files[source] = tmp_path / "fees.pdf"
    with visit(house, "admin", **LOOKS["light"]) as tab:
        for name, path in (
            ("page", "knowledge/document?source=fees.pdf"),
            ("page-search", "knowledge?q=outgoing+wire"),
        ):
            tab.page.goto(f"/console/{path}")
            tab.page.get_by_text("Page 1", exact=True).first.click()
            picture = tab.page.get_by_alt_text("Page 1 of fees.pdf, with the passage marked")
            tab.page.wait_for_function("(e) => e.complete && e.naturalWidth > 0", arg=picture.element_handle())
            _keep(tab.page, name)
        assert not tab.trouble
    client = house.client("reviewer")
    mine = "/console/knowledge/page?source={}&page={}&box={}"
    shown = client.get(mine.format("fees.pdf", 1, "0.120,0.142,0.830,0.158"))
    assert shown.headers["content-type"] == "image/png"
    for source, page, box, status in (
        ("staff/fees.pdf", 1, "0,0,1,1", 404), ("none.pdf", 1, "0,0,1,1", 404), ("fees.pdf", 0, "0,0,1,1", 422),
        ("fees.pdf", 1, "0,0,1", 422), ("fees.pdf", 1, "9,0,1,1", 422), ("fees.pdf", 1, "", 422),
    ):  # fmt: skip
        assert client.get(mine.format(source, page, box)).status_code == status, (source, page, box)


def _keep(page, name):
    if folder := os.environ.get("INHOUSE_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
