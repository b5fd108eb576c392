"""The text of a message in HTML: paragraphs and line breaks stay, what is not shown goes.

For messages of mail and chat programs, not for pages. Time is linear in the length whatever the text: the `html.parser`
of the standard library, and BeautifulSoup with it, take quadratic time on unclosed tags and comments, so tags are found
by one expression here. Like a browser, it takes everything up to the next `>` for a tag that is not well formed.
"""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"""<(/?)([a-zA-Z][\w:-]*+)((?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+)>""")
_ATTRIBUTE = re.compile(r"""(?<![\w:-])([\w:-]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""")
_SPACE = re.compile(r"[ \t\r\n\f]+")
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "hr"}
_LINES = {"div", "li", "tr", "dt", "dd", "section", "article", "header", "footer", "address", "form", "fieldset",
          "center", "caption", "figure", "details", "summary", "body", "html", "codeblock"}  # fmt: skip
_HIDDEN = {"script", "style", "title", "template", "noscript", "svg", "math", "object", "select", "attachment"}
_CLOSED_BY_NEXT = {"p", "li", "td", "th", "tr", "dt", "dd", "option"}
_VOID = {"br", "img", "hr", "meta", "link", "input", "col", "wbr", "area", "base", "embed", "source", "track"}
_QUOTES = re.compile(
    r"(?<![\w-])(?:gmail_attr|gmail_signature|yahoo_quoted|moz-cite-prefix|moz-signature"
    r"|freshdesk_quote|freshdesk_signature|zmail_extra|protonmail_quote|protonmail_signature_block|tutanota_quote"
    r"|mail-editor-reference-message-container|schema\.skype\.com/reply|zd-signature)(?![\w-])"
)
_EMOJI_CHARS = 8


def html_text(source: str, quotes: bool = False) -> str:
    """The text that a message in HTML shows.

    Args:
        source: HTML, whole or a fragment.
        quotes: whether older mails that mail programs quote, and their signatures, stay.
    """
    if "<" not in source and "&" not in source:
        return _SPACE.sub(" ", source).strip()
    shown = _shown(source, quotes)
    return shown if shown or quotes else _shown(source, True)  # a mail that only forwards another


def _shown(source: str, quotes: bool) -> str:
    text = _Text(quotes)
    at, end, last = 0, len(source), source.rfind(">")
    while at < end:
        start = source.find("<", at)
        if start < 0 or start > last:
            text.add(source[at:])
            break
        text.add(source[at:start])
        at = _markup(source, start, text)
    return text.result()


def _markup(source: str, start: int, text: _Text) -> int:
    """Handles what begins with `<` at `start`; where the rest begins."""
    if source.startswith("<!--", start):
        end = source.find("-->", start + 4)
        if end < 0:  # such as conditional comments of Word that another program cut
            text.close_all()
        return end + 3 if end >= 0 else source.find(">", start) + 1
    if match := _TAG.match(source, start):
        text.tag(match[1] == "/", match[2].lower(), match[3])
        return match.end()
    following = source[start + 1 : start + 2]
    if following.isalpha() or following in ("/", "!", "?"):
        end = source.find(">", start)
        name = re.match(r"/?([a-zA-Z][\w:-]*+)", source[start + 1 : start + 40])
        if name:
            text.tag(following == "/", name[1].lower(), "")
        return end + 1
    text.add("<")
    return start + 1


class _Text:
    """Collects text; knows how many line breaks come before the next, and how deep what is not shown is nested."""

    def __init__(self, quotes: bool) -> None:
        self._quotes = quotes
        self._parts: list[str] = []
        self._breaks = 0
        self._space = False
        self._skipped = ""  # the element that is not shown
        self._depth = 0  # of elements of its name
        self._preformatted = 0
        self._quoted = 0  # depth of quotations, whose lines are marked as in plain mails
        self._lists: list[int] = []  # numbers of ordered lists; -1 for others
        self._mark = ""  # of a list item, before its first text
        self._links: list[tuple[str, int]] = []

    def add(self, raw: str) -> None:
        if self._skipped or not raw:
            return
        text = html.unescape(raw).replace("\xa0", " ")
        if not self._preformatted:
            text = _SPACE.sub(" ", text)
            if not text.strip():
                self._space |= bool(text)
                return
            if text[0] == " ":
                self._space, text = True, text[1:]
        self._flush()
        if text.endswith(" ") and not self._preformatted:
            self._space, text = True, text[:-1]
        self._parts.append(text)

    def _flush(self) -> None:
        """Writes the line breaks, the space, and the mark that come before a text."""
        if self._parts:
            mark = "> " * self._quoted if self._breaks else ""
            self._parts.append(("\n" * min(self._breaks, 2) or " " * self._space) + mark)
        elif self._quoted:
            self._parts.append("> " * self._quoted)
        self._breaks, self._space = 0, False
        if self._mark:
            self._parts.append(self._mark)
            self._mark = ""

    def tag(self, closes: bool, name: str, attributes: str) -> None:
        opens = not closes and name not in _VOID and not attributes.endswith("/")
        if self._skipped and not (opens and name == self._skipped and name in _CLOSED_BY_NEXT):
            if name == self._skipped:
                self._depth += opens - closes
                self._skipped = self._skipped if self._depth else ""
            return
        self._skipped = ""
        if opens and self._is_hidden(name, attributes):
            self._skipped, self._depth = name, 1
        elif name == "br":
            self._breaks += 1
        elif name in _PARAGRAPHS:
            nested = name in ("ul", "ol") and len(self._lists) > 1 - (not closes)
            self._breaks = max(self._breaks, 1 if nested else 2)
            self._nest(closes, name)
        elif name in _LINES:
            self._breaks = max(self._breaks, 1)
            if name == "li" and opens:
                self._mark = self._item()
        else:
            self._inline(closes, name, attributes)

    def _inline(self, closes: bool, name: str, attributes: str) -> None:
        if name in ("td", "th") and not closes and not self._breaks and self._parts:
            self._space, self._mark = True, "| "
        elif name == "a":
            self._link(closes, attributes)
        elif name in ("img", "emoji") and not closes:
            alternative = _attribute(attributes, "alt")
            if 0 < len(alternative) <= _EMOJI_CHARS and not alternative.isascii():
                self.add(html.escape(alternative))

    def _is_hidden(self, name: str, attributes: str) -> bool:
        if name in _HIDDEN:
            return True
        if not attributes:
            return False
        lower = attributes.lower()
        if "display:none" in lower.replace(" ", "") or "mso-hide:all" in lower:
            return True
        if self._quotes:
            return False
        cited = _attribute(lower, "type") == "cite" or "gmail_quote" in lower
        return bool(_QUOTES.search(lower)) or (name == "blockquote" and cited)

    def _nest(self, closes: bool, name: str) -> None:
        if name == "blockquote":
            self._quoted = max(self._quoted + (-1 if closes else 1), 0)
        elif name == "pre":
            self._preformatted = max(self._preformatted + (-1 if closes else 1), 0)
        elif name in ("ul", "ol"):
            if not closes:
                self._lists.append(0 if name == "ol" else -1)
            elif self._lists:
                self._lists.pop()

    def _item(self) -> str:
        indent = "  " * max(len(self._lists) - 1, 0)
        if self._lists and self._lists[-1] >= 0:
            self._lists[-1] += 1
            return f"{indent}{self._lists[-1]}. "
        return f"{indent}- "

    def _link(self, closes: bool, attributes: str) -> None:
        """Adds the address of a link behind its text, unless the text is the address."""
        if not closes:
            address = html.unescape(_attribute(attributes, "href"))
            self._links.append((address if address.startswith(("http://", "https://")) else "", len(self._parts)))
        elif self._links:
            address, start = self._links.pop()
            label = "".join(self._parts[start:]).strip()
            bare = address.removeprefix("https://").removeprefix("http://").strip("/")
            if bare and label and bare not in label:
                self._parts.append(f" ({address})")

    def close_all(self) -> None:
        self._skipped = ""

    def result(self) -> str:
        lines = "".join(self._parts).replace("\u200b", "").split("\n")
        return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def _attribute(attributes: str, name: str) -> str:
    for match in _ATTRIBUTE.finditer(attributes):
        if match[1].lower() == name:
            return match[2] or match[3] or match[4] or ""
    return ""
