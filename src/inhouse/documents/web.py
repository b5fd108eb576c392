"""HTML to text: the content of a page, without its frame of navigation, headers, footers, and banners.

The frame is told by elements, roles, and words of class names and ids; what could also be content (an aside, a header
with the title, text outside of <main>) stays unless it is mostly links. Libraries that find the main text, made for
articles, drop tables, definitions, and parts of pages (docs/LOG.md).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from inhouse.documents.markup import markdown, text_of, tree
from inhouse.documents.parsed import Parsed, Unreadable
from inhouse.text.encoding import decode, refuse_binary

Element = Any
_DECLARED = re.compile(
    rb"<meta[^<>]{1,200}?charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{2,30})"
    rb"|<\?xml[^<>]{1,99}?encoding\s{0,9}=\s{0,9}[\"']([\w.:-]{2,30})",
    re.IGNORECASE,
)
_HEAD_BYTES = 8192
_CODECS = {  # what browsers read under these names: the larger one of two that share a name
    "iso-8859-1": "cp1252", "latin1": "cp1252", "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-9": "cp1254",
    "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "shift_jis": "cp932", "shift-jis": "cp932",
    "x-sjis": "cp932", "windows-31j": "cp932", "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "big5": "big5hkscs",
    "tis-620": "cp874", "windows-874": "cp874", "iso-8859-11": "cp874", "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
}  # fmt: skip
_C1_REFERENCE = re.compile(r"&#(?:(1[2-5]\d)|[xX]([89][0-9a-fA-F]))(?:;|(?![0-9a-zA-Z;]))")
_NO_TEXT = (
    "script", "style", "noscript", "template", "iframe", "object", "embed", "canvas", "audio", "video", "svg", "link",
    "datalist", "map", "annotation",
)  # fmt: skip
_HIDDEN = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all"
    r"|(?:opacity|font-size)\s*:\s*0(?:\.0)?(?:px|pt|em|%)?\s*(?:;|!|$))"
)
_PANEL = re.compile(r"tab-?pane|tab-?content|accordion|collaps|panel|expand|toggle|faq|answer|dropdown-content")
_FRAME_ROLES = frozenset({"navigation", "search", "menu", "menubar", "toolbar", "banner", "contentinfo", "alertdialog"})
# Words of class names and ids: always of the frame; where it is mostly links; where it is outside of the content.
_ALWAYS = re.compile(
    r"consent-|gdpr|onetrust|usercentrics|didomi|skip-?(?:link|nav|to)|breadcrumb|addtoany|sharedaddy"
    r"|share-?(?:button|bar|icon|link)|social-?(?:share|media|link|icon|button)|headerlink|hash-link|back-?to-?top"
    r"|newsletter-(?:signup|form|popup)|pagination|search-?(?:form|box|bar)|table-of-contents|sphinxsidebar"
    r"|jp-relatedposts|article-votes|article-subscribe|mw-editsection|navbox|catlinks|printfooter|mw-jump|reaction-picker|helpful|edit-?this-?page|wm-ipp"
)
_MOSTLY_LINKS = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|sidebar|sidenav|toc|share|sharing|social|related|recommended|tags"
    r"|topbar|masthead|header|footer|head|top|bottom|widget|aside|prev|next|languages?|login|utility)(?:$|[\s_-])"
)
_OUTSIDE = re.compile(
    r"(?:^|[\s_-])(?:sidebar|sidenav|site-?header|site-?footer|page-?footer|global-?header|global-?footer|footer"
    r"|masthead|topbar|navbar|advert|ads|banner|promo|popup|newsletter)(?:$|[\s_-])"
)
_FRAME = frozenset({"sidebar", "footer", "site-footer", "page-footer", "site-header", "masthead", "topbar", "navbar"})
_COOKIE = re.compile(r"cookie|consent")
_SKIP = re.compile(
    r"(?:skip|jump|go) (?:to|navigation)\b.*|(?:direkt |springe )?zum (?:haupt)?inhalt.*"
    r"|(?:aller|passer) (?:au|directement).*|(?:ir|saltar|pular) (?:al?|para)\b.*|vai al .*|(?:ga|spring) naar .*"
    r"|przejdź do .*|hoppa till .*|gå til .*|перейти к .*|跳[到至转].*|.*へスキップ"
)
_SAYS_COOKIES = re.compile(r"(?i)\bcookies?\b")
_LEGAL = re.compile(r"(?i)©|\(c\) ?\d{4}|\ball rights reserved|\balle rechte vorbehalten|\btous droits réservés")
_NOTE = re.compile(r"note|tip|warn|caution|danger|info|important|callout|admonition|alert|hint")
_PERMALINKS = frozenset({"¶", "#", "§", "🔗", "permalink", "\u200b", ""})
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_ROOTS = ("main", "article")
BLOCK = 60  # characters of text, without links, that may be content although they stand outside of <main>
BANNER = 600  # characters of a cookie banner or a legal line at most
LITTLE = 0.15  # of the text of a page: less is no main content


def read_html(data: bytes) -> Parsed:
    """The content of a page in the encoding that it declares, unless its bytes say otherwise."""
    text, note = html_text(data)
    return page_content(text, note)


def html_text(data: bytes) -> tuple[str, str]:
    """The text of a page's bytes, and a note if its encoding was assumed."""
    found = _DECLARED.search(data[:_HEAD_BYTES])
    if not found or data[:3] == b"\xef\xbb\xbf" or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return decode(data)
    name = (found[1] or found[2]).decode("ascii").lower()
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        pass
    if name.replace("-", "").startswith(("utf", "unicode")):
        return decode(data)
    try:
        return data.decode(_CODECS.get(name, name)), ""
    except (UnicodeDecodeError, LookupError):
        text, note = decode(data)
        return text, ", ".join(filter(None, (f"not in {name}, as it says", note)))


def page_content(html: str, note: str = "") -> Parsed:
    """The content of a page as Markdown; the note says how much of it was left out."""
    refuse_binary(html)
    html = _C1_REFERENCE.sub(lambda m: _c1(int(m[1]) if m[1] else int(m[2], 16)), html)
    root = tree(html)
    if root is None:
        raise Unreadable("a page without content")
    title = next((text_of(title) for title in root.iter("title")), "")
    hidden = _without_hidden(root)
    notes = [note, f"hidden text left out ({hidden} characters)" if hidden else ""]
    before = len(text_of(root))
    _without_frame(root)
    after = len(text_of(root))
    if after < LITTLE * before and (whole := tree(html)) is not None:
        root = whole
        _without_hidden(root)
        notes.append("no main content recognized, so navigation and footers are in the text")
    elif after < before:
        notes.append(f"navigation, banners, headers and footers left out ({before - after} characters)")
    if pictures := sum("alt" not in image.attrib for image in root.iter("img")):  # an empty one marks ornaments
        notes.append(f"{pictures} undescribed picture{'s' * (pictures > 1)} left out")
    return Parsed(text=markdown(root), title=title, note=", ".join(filter(None, notes)))


def mail_page(html: str) -> str:
    """The Markdown of a mail in HTML, whose parts are all content but for hidden ones."""
    root = tree(_C1_REFERENCE.sub(lambda m: _c1(int(m[1]) if m[1] else int(m[2], 16)), html))
    if root is None:
        return ""
    _without_hidden(root)
    return markdown(root)


def _c1(code: int) -> str:
    """What browsers show for a reference to a control character, such as &#146; for an apostrophe."""
    return bytes([code]).decode("cp1252", "ignore") if 128 <= code < 160 else f"&#{code};"


def _without_hidden(root: Element) -> int:
    """Drops what a page never shows; returns the characters of hidden text. Closed panels and tabs stay."""
    hidden = 0
    for element in list(root.iter(*_NO_TEXT, "head")):
        if element.getparent() is not None and element is not root:
            element.drop_tree()
    shown = _controlled(root)
    for element in list(root.iter()):
        style = (element.get("style") or "").lower()
        icon = element.get("aria-hidden") == "true" and ("katex" in _names(element) or len(text_of(element)) <= 2)
        out_of_sight = element.get("hidden") is not None or (style and _HIDDEN.search(style))
        if (icon or (out_of_sight and not _panel(element, shown))) and _inside(element, root) and element.tag != "body":
            hidden += 0 if icon else len(text_of(element))
            element.drop_tree()
    return hidden


def _controlled(root: Element) -> set[str]:
    """The ids of elements that a button or a tab shows."""
    names = ("aria-controls", "data-target", "data-bs-target", "data-toggle-target")
    return {(element.get(name) or "").lstrip("#") for element in root.iter() for name in names} - {""}


def _panel(element: Element, shown: set[str]) -> bool:
    """Whether an element is shown after a click."""
    told = element.get("role") == "tabpanel" or element.get("aria-labelledby") or element.get("id") in shown
    return bool(told or _PANEL.search(_names(element)))


def _inside(element: Element, root: Element) -> bool:
    """Whether an element is still in the tree."""
    while (parent := element.getparent()) is not None:
        element = parent
    return bool(element is root)


def _names(element: Element) -> str:
    return f"{element.get('class') or ''} {element.get('id') or ''}".lower()


def _is_choice(element: Element) -> bool:
    href = element.get("href") or "#"
    return element.tag in ("button", "input") or (element.tag == "a" and href.startswith(("#", "javascript:")))


class _Counts(NamedTuple):
    """What is inside of an element."""

    text: int = 0  # characters
    linked: int = 0  # of them in links
    headed: int = 0  # and in headings
    links: int = 0
    headings: int = 0
    choices: int = 0  # buttons, inputs, and links that lead to no other page
    elements: int = 0

    @property
    def own(self) -> int:
        """The characters that are neither in links nor in headings."""
        return self.text - self.linked - self.headed

    @property
    def mostly_links(self) -> bool:
        return self.own < self.linked


class _Measured:
    """What is inside of each element of a page, and where its first heading is."""

    def __init__(self, root: Element) -> None:
        from lxml.etree import iterwalk

        self._of: dict[Element, _Counts] = {}
        self._order = {element: i for i, element in enumerate(root.iter())}
        self._first = next((i for element, i in self._order.items() if element.tag in _HEADINGS[:3]), len(self._order))
        for _, element in iterwalk(root, events=("end",)):
            tag = element.tag
            counts = [len(" ".join((element.text or "").split())), 0, 0]
            counts += [int(tag == "a"), int(tag in _HEADINGS), int(_is_choice(element)), 1]
            for child in element:
                counts = [n + inner for n, inner in zip(counts, self._of.get(child, _Counts()), strict=True)]
                counts[0] += len(" ".join((child.tail or "").split()))
            if tag == "a":
                counts[1:3] = counts[0], 0
            if tag in _HEADINGS:
                counts[2] = counts[0] - counts[1]
            self._of[element] = _Counts(*counts)

    def __getitem__(self, element: Element) -> _Counts:
        return self._of.get(element, _Counts())

    def before_headings(self, element: Element) -> bool:
        return self._order.get(element, 0) < self._first

    def words(self, element: Element) -> str:
        """The text of an element that is small enough for a banner, else nothing."""
        counts = self[element]
        return text_of(element) if counts.text < BANNER and counts.elements < BANNER else ""


def _without_frame(root: Element) -> None:
    """Drops the frame of a page."""
    for link in list(root.iter("a")):
        words = text_of(link).lower()
        target = link.get("href") or ""
        if target.startswith("#") and (
            _SKIP.fullmatch(words) or (words in _PERMALINKS and link.find(".//img") is None)
        ):
            link.drop_tree()
    measured = _Measured(root)
    mains = [
        e for e in root.iter() if (e.tag == "main" or e.get("role") == "main") and e.tag != "body" and measured[e].text
    ]
    roots = set(mains or [e for e in root.iter("article") if measured[e].text])
    around = {parent for e in roots for parent in e.iterancestors()}
    titled = any(True for e in roots for _ in e.iter("h1"))
    waiting = [(root, False)]
    while waiting:
        element, within = waiting.pop()
        within = within or element in roots
        for child in list(element):
            if child in around and child.tag != "nav":
                waiting.append((child, within))
            elif (
                (child.tag == "header" or child.get("id") == "header")
                and not within
                and element.tag not in ("section", *_ROOTS)
            ):
                _reduce(child, measured, titled)
            elif _of_frame(child, within, bool(roots), measured):
                _reduce(child, measured, titled or within)
            else:
                waiting.append((child, within))
    for button in list(root.iter("button")):
        heading = any(parent.tag in (*_HEADINGS, "summary", "dt") for parent in button.iterancestors())
        if not heading and not button.get("aria-expanded") and not button.get("aria-controls"):
            button.drop_tree()
    for element in [child for parent in around for child in parent if child not in around and child not in roots]:
        if not _beside_main(element, measured):
            _reduce(element, measured, titled)


def _of_frame(element: Element, within: bool, has_roots: bool, measured: _Measured) -> bool:
    """Whether an element belongs to the frame; `within` says that it is inside of the main content."""
    role, names, counts = (element.get("role") or "").lower(), _names(element), measured[element]
    if element.tag in ("body", "html", *_ROOTS) or role == "main":
        return False
    if element.tag == "nav" or role in _FRAME_ROLES:
        return True
    words = measured.words(element)
    if element.tag == "footer":
        return not within or counts.mostly_links or bool(_LEGAL.search(words))
    if (element.tag == "aside" or role == "complementary") and not _NOTE.search(f"{names} {role}"):
        return not within or counts.mostly_links
    if element.tag == "header" and counts.mostly_links and not counts.headings:
        return True
    if element.tag == "dialog":
        return bool(_SAYS_COOKIES.search(words))
    if words and _is_banner(element, words, names, within, counts):
        return True
    if _ALWAYS.search(names) and (counts.mostly_links or not counts.headings or words):
        return True
    if _MOSTLY_LINKS.search(names) and counts.mostly_links:
        return not (within and element.tag in ("ul", "ol", "table", "p", "li", "td"))
    if _OUTSIDE.search(names) and not within:
        return has_roots or bool(_FRAME.intersection(names.split()) and words and not counts.headings)
    return not within and _is_list_of_links(element, counts) and measured.before_headings(element)


def _is_banner(element: Element, words: str, names: str, within: bool, counts: _Counts) -> bool:
    """A cookie banner with something to click, or outside of the content a line of legal notices."""
    if _COOKIE.search(names) and not counts.headings:
        return not within or counts.choices > 0
    if _COOKIE.search(names) or _SAYS_COOKIES.search(words):
        first = any(True for _ in element.iter("h1")) or element.tag not in ("div", "section", "form", "aside", "p")
        return not within and counts.choices > 0 and not first
    legal = element.tag in ("div", "p", "td", "center", "small") and _LEGAL.search(words[:BLOCK])
    return not within and len(words) < BANNER / 2 and not counts.headings and bool(legal)


def _is_list_of_links(element: Element, counts: _Counts) -> bool:
    """Three or more short links with nothing but separators between them."""
    listed = element.tag in ("div", "ul", "p", "td", "center", "section", "span") and counts.links >= 3
    return listed and 10 * counts.own <= 3 * counts.text <= 120 * counts.links and not counts.headings


def _reduce(frame: Element, measured: _Measured, titled: bool) -> None:
    """Drops a part of the frame; where the content has no title, one in it stays, and in a header also sentences."""
    kept: list[Element] = []
    header = frame.tag == "header"
    for part in [] if titled else frame.iter(*_HEADINGS, "p", "table", "dl", "time", "address", "ul", "ol"):
        counts = measured[part]
        if counts.text and not counts.mostly_links and not any(parent in kept for parent in part.iterancestors()):
            sentence = counts.own >= BLOCK or (kept and part.tag not in ("ul", "ol"))
            if part.tag == "h1" or (header and (part.tag in _HEADINGS or sentence)):
                kept.append(part)
    parent = frame.getparent()
    place = parent.index(frame)
    frame.drop_tree()
    for i, part in enumerate(kept):
        part.tail = None
        parent.insert(place + i, part)


def _beside_main(element: Element, measured: _Measured) -> bool:
    """Whether a part outside of the main content may be content: sentences or tables, not mostly links."""
    counts, following = measured[element], element.getnext()
    if element.tag == "h1" or (
        element.tag in _HEADINGS and following is not None and _beside_main(following, measured)
    ):
        return True
    return counts.own >= BLOCK and not counts.mostly_links and not _LEGAL.search(measured.words(element)[:BLOCK])
