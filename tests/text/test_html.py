"""The text of messages in HTML, whatever program wrote them."""

import pytest

from inhouse.text.html import html_text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain &amp; simple", "plain & simple"),
        ("no  tags\n here", "no tags here"),
        ("<p>One.</p><p>Two.<br>Three.</p>", "One.\n\nTwo.\nThree."),
        ("<p>One.</p>\n\n<p>Two.</p>", "One.\n\nTwo."),
        ("<div>One</div><div>Two</div><div><br></div><div>Three</div>", "One\nTwo\n\nThree"),
        ("One<br/><br />Two<BR>Three", "One\n\nTwo\nThree"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ("<ol><li>a<ul><li>x</li></ul></li><li>b</li></ol>", "1. a\n  - x\n2. b"),
        ("<ol><li><p>a</p></li><li><p>b</p></li></ol>", "1. a\n\n2. b"),
        ("<table><tr><td>Belt</td><td>$4</td></tr><tr><td>Blade</td><td>$5</td></tr></table>", "Belt | $4\nBlade | $5"),
        (
            'See <a href="https://shop.example/a?b=1&amp;c=2">the page</a>.',
            "See the page (https://shop.example/a?b=1&c=2).",
        ),
        ('<a href="https://shop.example/">shop.example</a>', "shop.example"),
        ('<a href="mailto:a@shop.example">Ann</a>', "Ann"),
        ("1 < 2 and 3 > 2, a<b", "1 < 2 and 3 > 2, a<b"),
        ("<p>5 &lt; 6 &gt; 4</p>", "5 < 6 > 4"),
        ("a <b>bold</b>, <i>big</i> word", "a bold, big word"),
        ("un<b>break</b>able", "unbreakable"),
        ("a&nbsp;b &nbsp; c", "a b c"),
        ("<style>p{margin:0}</style><p>a</p><script>if (a<b) {}</script>", "a"),
        ("<head><title>T</title></head><body>b</body>", "b"),
        ("<html><head><meta charset=utf-8><body>no closing head</body>", "no closing head"),
        ("<p style='display:none'>no<p>yes", "yes"),
        ('<div class="gmail_quote">Forwarded: <div>all of it</div></div>', "Forwarded:\nall of it"),
        ('<blockquote type="cite">only this</blockquote>', "> only this"),
        ("<p>a</p><!-- <p>no</p> --><p>b</p>", "a\n\nb"),
        ("<!--[if mso]><table><![endif]-->a", "a"),
        ("<![if !mso]>a<![endif]>", "a"),
        ('<div style="display:none">preview</div>a', "a"),
        ('<div style="DISPLAY: none"><div>preview</div></div>a', "a"),
        ('<at id="0">Ann</at>&nbsp;look', "Ann look"),
        ('<attachment id="1"></attachment>', ""),
        ('good <emoji alt="👍" title="yes"></emoji>', "good 👍"),
        ('good <img class="emoji" alt="🎉">', "good 🎉"),
        ('<img alt="Logo of the shop"> a', "a"),
        ("<pre>a  b\n  c</pre>", "a  b\n  c"),
        ("a<blockquote><p>kept</p><p>marked</p></blockquote>b", "a\n\n> kept\n\n> marked\n\nb"),
        ("<o:p>&nbsp;</o:p><p class=MsoNormal>Word</p>", "Word"),
        ("<p title='a > b'>quoted</p>", "quoted"),
        ("<p>unclosed <b>tags", "unclosed tags"),
        ("<p>cut off <a href=", "cut off <a href="),
        ("</p></div>stray", "stray"),
        ("<p></p><div></div>", ""),
        ("&#8364; &euro; &#x20ac; &unknown;", "€ € € &unknown;"),
        ("日本語<br>テキスト", "日本語\nテキスト"),
    ],
)
def test_what_is_shown_becomes_text(source, text):
    assert html_text(source) == text


@pytest.mark.parametrize(
    "quoted",
    [
        '<div class="gmail_quote"><div class="gmail_attr">On Monday Ann wrote:</div><blockquote class="gmail_quote">old</blockquote></div>',
        '<blockquote type="cite"><div>old</div></blockquote>',
        '<div class="freshdesk_quote"><blockquote class="freshdesk_quote">old</blockquote></div>',
        '<div class="yahoo_quoted" id="1">old</div>',
        '<div class="moz-cite-prefix">On Monday Ann wrote:</div><blockquote type="cite">old</blockquote>',
        '<pre class="moz-signature" cols="72">-- Ann</pre>',
        '<blockquote itemscope itemtype="http://schema.skype.com/Reply">old</blockquote>',
        '<div class="gmail_signature" data-smartmail="x">Ann</div>',
    ],
)
def test_quoted_mails_and_signatures_go(quoted):
    assert html_text(f"<div>new</div>{quoted}<div>after</div>") == "new\nafter"
    assert html_text(quoted, quotes=True)


@pytest.mark.parametrize("piece", ["<!--", "<a ", "<a b='", '<a b="', "<![CDATA[", "</a ", "&#", "<!", "<?", "<p>", "< ",
                                   "<div style='display:none'>", "<ul><li>", '<a href="https://x.example">', "<"])  # fmt: skip
def test_time_is_linear_whatever_is_unclosed(piece, takes_linear_time):
    assert takes_linear_time(html_text, lambda n: piece * n, 1000)
    assert takes_linear_time(html_text, lambda n: piece * n + ">", 1000)
