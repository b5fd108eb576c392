"""A story as web page, mail, table of text, Markdown, e-book, and PDF."""

import csv as tables
import io
import json as jsons
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from html import escape
from pathlib import Path

from roundtrip.facts import Story, Value, clock, day
from roundtrip.office import zipped

DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


class NotHere(Exception):
    """The document cannot be made on this machine; the message says why."""


def encoded(text: str, tale: Story) -> bytes:
    return text.replace("\u202f", tale.encoding.startswith("utf") and "\u202f" or "\u00a0").encode(tale.encoding)


def _cell(text: str) -> str:
    return escape(text).replace("\n", "<br/>")


def _html_table(tale: Story) -> str:
    spans = dict(tale.spans)
    band = (
        f"<tr><td></td><td></td><th colspan='{len(tale.header) - 2}'>{_cell(tale.band)}</th></tr>" if tale.band else ""
    )
    lines = ["<table>", band, "<tr>", *(f"<th>{_cell(name)}</th>" for name in tale.header), "</tr>"]
    for n, row in enumerate(tale.shown):
        group = f'<td rowspan="{spans[n]}">{_cell(row[1])}</td>' if n in spans else ""
        cells = "".join(f"<td>{_cell(text)}</td>" for text in row[2:])
        lines.append(f"<tr><td>{_cell(row[0])}</td>{group}{cells}</tr>")
    return "".join([*lines, "</table>"])


_BLOCKS = (
    "<p>{}</p>", "<div>{}</div>", "<ul><li>{}</li></ul>", "<blockquote>{}</blockquote>", "<dl><dt>{}</dt></dl>", "<section>{}</section>",
    "<ol><li>{}</li></ol>", "<div><span>{}</span></div>",
)  # fmt: skip


def _article(tale: Story) -> str:
    parts = [f"<h1>{escape(tale.title)}</h1>"]
    for n, text in enumerate(tale.paragraphs):
        words = (
            escape(text).replace("\u00a0", "&nbsp;").replace("€", tale.draw.choice(["&euro;", "&#8364;", "&#x20ac;"]))
        )
        mark = "<sup>1</sup>" if n == 0 else ""
        parts.append(tale.draw.choice(_BLOCKS).format(f"{words}{mark}"))
    tale.noise.append("1")
    more = (
        "<table><caption>Table 51</caption><tfoot><tr><td>Total</td><td>61</td></tr></tfoot><thead><tr><th>A</th><th>B</th></tr>"
        "</thead><tbody><tr><td><p>71</p><p>81</p></td><td>91<br>92</td></tr></tbody></table><ol start='3'><li>a<ul><li>b 93</li>"
        "</ul></li></ol><div>94</div><div>95</div><p>1<wbr>2<b>5</b>0 96<br>97</p><dl><dt>98</dt><dd>99</dd></dl>"
        "<details><summary>A 101</summary>102</details><img alt='Map 103' src='x104.png'><p>10<sup>3</sup> H<sub>2</sub>O 1&shy;05</p>"
    )
    tale.facts += ["Table 51", "1250 96", "A 101", "102", "b 93", "105"]
    tale.noise += ["61", "71", "81", "91", "92", "94", "95", "97", "98", "99", "103", "10", "3", "2", "4"]
    return "".join([*parts, more, _html_table(tale)])


def html(tale: Story) -> bytes:
    """An article among header, navigation, cookie banner, sidebar, and footer."""
    article, draw = _article(tale), tale.draw
    main = draw.choice([
        "<main>{}</main>", "<article>{}</article>", '<main><article class="post">{}</article></main>', '<div id="content">{}</div>',
        '<div class="page"><div role="main">{}</div></div>', '<section class="content">{}</section>',
    ])  # fmt: skip
    links = "".join(f'<li><a href="/{n}">{escape(name)}</a></li>' for n, name in enumerate(tale.language.groups))
    if draw.random() < 0.3:
        soup = _soup(tale, article, links)
        codec = draw.choice(["utf-8", "utf-16"])
        return f"<html><head><title>{escape(tale.title)}</title></head><body>{soup}</body></html>".encode(codec)
    page = (
        f"<header><a href='/'>Example Ltd</a> <span class='cart'>({tale.hidden})</span></header><nav><ul>{links}</ul></nav>"
        f"<div id='cookie-banner' role='dialog'>Cookies: {tale.hidden} <button>OK</button></div>"
        f"{main.format(article)}<aside>{escape(tale.language.columns[4])} {tale.hidden}</aside>"
        f"<p style='display:none'>{tale.hidden}</p><script>var n = {tale.hidden};</script>"
        f"<footer><p>© {tale.hidden} Example Ltd</p></footer>"
    )
    codec = "utf-8" if draw.random() < 0.5 else tale.encoding.replace("utf-16-le", "utf-16")
    shown = codec in ("utf-16", "utf-8-sig") or draw.random() < 0.3
    meta = (
        ""
        if shown
        else draw.choice(['<meta charset="{}">', '<meta http-equiv="Content-Type" content="text/html; charset={}">'])
    )
    head = f"<head>{meta.format(codec)}<title>{escape(tale.title)}</title></head>"
    whole = f"<!DOCTYPE html><html lang='{tale.language.code}'>{head}<body>{page}</body></html>"
    return whole.encode(codec, "xmlcharrefreplace")


def _soup(tale: Story, article: str, links: str) -> str:
    """A page whose frame is named by classes, ids, and roles alone."""
    draw, n = tale.draw, tale.hidden
    top = draw.choice(['<div class="site-header">{}</div>', '<div id="header">{}</div>', '<div role="banner">{}</div>'])
    menu = draw.choice(
        [
            '<div class="navbar"><ul>{}</ul></div>',
            '<div role="navigation"><ul>{}</ul></div>',
            '<ul class="menu">{}</ul>',
        ]
    )
    crumbs = draw.choice(
        ['<div class="breadcrumbs">{}</div>', '<ol class="breadcrumb"><li>{}</li></ol>', "<!-- {} -->"]
    )
    side = draw.choice(
        ['<div class="sidebar">{}</div>', '<div id="sidebar">{}</div>', '<div role="complementary">{}</div>']
    )
    end = draw.choice(['<div class="footer">{}</div>', '<div id="footer">{}</div>', '<div role="contentinfo">{}</div>'])
    banner = draw.choice(
        [
            '<div class="cookie-consent">{}</div>',
            '<div id="CybotCookiebotDialog">{}</div>',
            '<div class="gdpr-banner">{}</div>',
        ]
    )
    parts = [top.format(f"Example Ltd {n}"), menu.format(f"{links}<li><a href='/x'>{n}</a></li>"), crumbs.format(f"Home {n}"),
             f'<div class="content">{article}</div>', side.format(f"Related {n}"), end.format(f"© {n} Example"), banner.format(f"Cookies {n}")]  # fmt: skip
    return "".join(parts)


def eml(tale: Story) -> bytes:
    """The last paragraph is a quoted mail; plain text in any encoding, or a short plain part beside an HTML one."""
    tale.facts[0:1] = [tale.title]
    date, at = day(tale.draw, tale.language).text, clock(tale.draw, tale.language).text
    above = tale.language.attribution.format(date=date, time=at)
    tale.noise.append(above)
    plain = "\n\n".join([*(text for text in tale.paragraphs if text != tale.quoted), above, f"> {tale.quoted}"])
    rich = tale.draw.random() < 0.5
    if rich:
        message = MIMEMultipart("alternative")
        quote = f"<p>{escape(above)}</p><blockquote>{escape(tale.quoted)}</blockquote>"
        paragraphs = "".join(f"<p>{escape(text)}</p>" for text in tale.paragraphs if text != tale.quoted)
        stub = plain if tale.draw.random() < 0.5 else ""
        if stub:
            tale.rows, tale.header = [], []  # the plain part is the content: it has no table
        else:
            stub = "This mail is in HTML."
        message.attach(MIMEText(stub, "plain", "utf-8"))
        table = _html_table(tale) if tale.rows else ""
        preheader = f"<div style='display:none;max-height:0'>{tale.hidden}</div>"
        if tale.draw.random() < 0.4:  # a newsletter: tables for the layout alone
            paragraphs = f'<table role="presentation" width="600"><tr><td><table><tr><td>{paragraphs}</td></tr></table></td></tr></table>'
        message.attach(MIMEText(f"<html><body>{preheader}{paragraphs}{table}{quote}</body></html>", "html", "utf-8"))
    else:
        tale.rows, tale.header = [], []
        name = "utf-8" if tale.encoding.startswith("utf") else tale.encoding
        above = plain.encode(name, "ignore").decode(name)
        message = MIMEText(above, "plain", name)
    if tale.draw.random() < 0.4:
        message = _with_parts(message, tale)
    message["From"], message["To"], message["Subject"] = "Ana Silva <ana@example.com>", "b@example.com", tale.title
    message["Date"] = "Mon, 03 Mar 2025 10:15:00 +0100"
    tale.noise.append("03 Mar 2025 10:15:00 +0100")
    return message.as_bytes()


def _with_parts(first: MIMEText | MIMEMultipart, tale: Story) -> MIMEMultipart:
    """The text, a second text, a mail that is attached, and a file."""
    whole = MIMEMultipart("mixed")
    whole.attach(first)
    texts = [f"{tale.title} {n}-4711" for n in ("A", "B")]
    whole.attach(MIMEText(texts[0], "plain", "utf-8"))
    inner = MIMEText(texts[1], "plain", "utf-8")
    inner["From"], inner["Subject"], inner["Date"] = "c@example.com", "Re", "Mon, 03 Mar 2025 10:15:00 +0100"
    whole.attach(MIMEMessage(inner))
    picture = MIMEText("0123", "x-data")
    picture.add_header("Content-Disposition", "attachment", filename="scan.bin")
    whole.attach(picture)
    tale.facts += texts
    return whole


def _delimited(tale: Story, delimiter: str) -> bytes:
    tale.facts, tale.paragraphs = [], []
    buffer = io.StringIO()
    ends, quoting = tale.draw.choice(["\r\n", "\n", "\r"]), tale.draw.choice([tables.QUOTE_MINIMAL, tables.QUOTE_ALL])
    if "\n" in tale.rows[0][0].text:
        quoting = tables.QUOTE_ALL  # the csv module does not quote a "\n" among lines that end with "\r"
    writer = tables.writer(buffer, delimiter=delimiter, lineterminator=ends, quoting=quoting)
    if tale.draw.random() < 0.2:
        buffer.write(f"sep={delimiter}{ends}")  # tells Excel the delimiter
    if tale.draw.random() < 0.2:
        buffer.write(f"{tale.title}{ends}{ends}")
        tale.facts = [tale.title]
    writer.writerows([tale.header, *tale.shown])
    return encoded(buffer.getvalue(), tale)


def csv(tale: Story) -> bytes:
    return _delimited(tale, ";" if tale.language.separators[0] == "," else tale.draw.choice(",;|"))


def tsv(tale: Story) -> bytes:
    return _delimited(tale, "\t")


def md(tale: Story) -> bytes:
    """Front matter, a comment, a table, text in any encoding."""
    matter = "---\nauthor: Ana Silva\nupdated: 2025-03-03\n---\n\n" if tale.draw.random() < 0.5 else ""
    tale.noise.append("2025-03-03")
    cells = [
        [text.replace("|", "\\|").replace("\n", "<br>") for text in row]
        for row in (tale.header, ["---"] * len(tale.header), *tale.shown)
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    text = "\n\n".join([f"# {tale.title}", *tale.paragraphs, f"<!-- {tale.hidden} -->", table])
    return encoded(matter + text + "\n", tale)


def txt(tale: Story) -> bytes:
    tale.rows, tale.header = [], []
    return encoded("\r\n\r\n".join([tale.title, *tale.paragraphs]), tale)


def json(tale: Story) -> bytes:
    tale.rows[0][0] = Value(tale.rows[0][0].text.replace("\n", " "))
    rows = [dict(zip(tale.header, row, strict=True)) for row in tale.shown]
    data = {"title": tale.title, "text": tale.paragraphs, "rows": rows}
    return jsons.dumps(data, ensure_ascii=tale.draw.random() < 0.5, indent=tale.draw.choice([None, 2])).encode()


def epub(tale: Story) -> bytes:
    namespaces = 'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"'
    page = f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>{escape(tale.title)}</title></head><body>{_article(tale).replace("&nbsp;", "&#160;").replace("&euro;", "€")}</body></html>'
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="i">x</dc:identifier><dc:title>{escape(tale.title)}'
        f"</dc:title><dc:language>{tale.language.code}</dc:language></metadata><manifest><item id='c' href='c.xhtml' "
        "media-type='application/xhtml+xml'/></manifest><spine><itemref idref='c'/></spine></package>"
    )
    container = (
        f'<?xml version="1.0"?><container {namespaces} version="1.0"><rootfiles><rootfile full-path="OEBPS/p.opf" '
        'media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/p.opf": package,
            "OEBPS/c.xhtml": page,
        }
    )


def pdf(tale: Story) -> bytes:
    """A heading, text in one or two columns, a table with lines, page numbers."""
    from reportlab.lib import colors
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import (
        BaseDocTemplate,
        Frame,
        FrameBreak,
        NextPageTemplate,
        PageBreak,
        PageTemplate,
        Paragraph,
        Table,
    )

    font = _font(tale.language.code)
    wrap = "CJK" if tale.language.code in ("zh", "ja") else None
    body = ParagraphStyle("body", fontName=font, fontSize=10, leading=13, wordWrap=wrap, spaceAfter=6)
    title = ParagraphStyle("title", fontName=font, fontSize=18, leading=22, spaceAfter=10, wordWrap=wrap)
    two = tale.draw.random() < 0.5
    buffer = io.BytesIO()

    def numbered(canvas, page):
        canvas.setFont("Helvetica", 8)
        canvas.drawCentredString(300, 30, f"- {page.page} -")

        canvas.drawString(60, 770, "Example Ltd, 2024-7")

    tale.noise += ["- 1 -", "- 2 -", "2024-7", "1"]
    columns = [Frame(60, 60, 225, 620, id="l"), Frame(315, 60, 225, 620, id="r")] if two else [Frame(60, 60, 480, 620)]
    templates = [
        PageTemplate("text", [Frame(60, 690, 480, 60, id="t"), *columns], onPage=numbered),
        PageTemplate("table", [Frame(60, 60, 480, 690)], onPage=numbered),
    ]
    document = BaseDocTemplate(buffer, pagesize=(600, 800), pageTemplates=templates, title=tale.title)
    flow = [Paragraph(escape(tale.title), title), FrameBreak()]
    half = len(tale.paragraphs) // 2
    for n, text in enumerate(tale.paragraphs):
        flow += [FrameBreak()] if two and n == half else []
        flow.append(Paragraph(escape(text) + "<super>1</super>" * (n == 0), body))
    rows, style = [tale.header, *tale.shown], [("FONT", (0, 0), (-1, -1), font, 7)]
    if tale.draw.random() < 0.6:
        times = tale.draw.choice([1, 1, 8])
        tale.rows *= times  # the table goes on on the next page
        rows = [tale.header, *tale.shown]
        rows = [[Paragraph(_cell(text), body) for text in row] for row in rows]
        style = [("GRID", (0, 0), (-1, -1), 0.5, colors.black)]
        for first, count in tale.spans if times == 1 else ():
            style.append(("SPAN", (1, first + 1), (1, first + count)))
            for row in rows[first + 2 : first + count + 1]:
                row[1] = ""
    elif "\n" in tale.rows[0][0].text:
        tale.rows[0][0] = Value(tale.rows[0][0].text.replace("\n", " "))
        rows = [tale.header, *tale.shown]
    flow += [NextPageTemplate("table"), PageBreak(), Table(rows, style=style, repeatRows=1)]
    document.build(flow)
    return buffer.getvalue()


def _font(code: str) -> str:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    if code == "ar":
        raise NotHere("reportlab does not shape Arabic")
    if code in ("zh", "ja"):
        name = "STSong-Light" if code == "zh" else "HeiseiMin-W3"
        pdfmetrics.registerFont(UnicodeCIDFont(name))
        return name
    if not DEJAVU.exists():
        raise NotHere("fonts-dejavu is not installed")
    pdfmetrics.registerFont(TTFont("DejaVu", str(DEJAVU)))
    return "DejaVu"
