import pytest

from inhouse.text.markdown import lines_with_code

CODE = [
    "```\n# no heading\n```", "```bash\n# x\n\n## y\n```", "~~~\n# x\n```\n# y\n~~~", "````\n```\n# x\n```\n````",
    "   ```py\n   # x\n   ```", "    # indented\n    more", "\t# tab", "<pre>\n# x\n</pre>", "<!--\n# x\n-->", "<!-- # x -->",
    "<script>\n# x\n</script>", "```\nnever closed\n# x", "> ```\n> # x\n> ```", "``` \n# x\n```  ",
]  # fmt: skip


@pytest.mark.parametrize("code", CODE)
def test_code_is_told_from_text(code):
    before, after = "Text.\n\n", "\n\n# Heading" if "never" not in code else ""
    lines = list(lines_with_code(before + code + after))
    assert "\n".join(line for line, _ in lines) == before + code + after
    assert {line for line, is_code in lines if is_code} - {""} == set(code.split("\n")) - {""}


@pytest.mark.parametrize(
    "text",
    [
        "- a\n\n    more of the item\n    - deep\n\n      text", "1. a\n    1. b\n\n    c", "a\n    continued", "`a` ``` b ```",
        "---\nA rule above.\n---", "a\n\n---\ntitle: x\n---", "***", "~~struck~~", "```inline``` code",
    ],
)  # fmt: skip
def test_what_is_no_code(text):
    assert not any(is_code for _, is_code in lines_with_code(text))


@pytest.mark.parametrize("mark", [("---", "---"), ("---", "..."), ("+++", "+++")])
def test_front_matter_is_no_text(mark):
    text = f"{mark[0]}\ntitle: A\ntags:\n  - b\n# comment\n{mark[1]}\n# Heading"
    assert [line for line, is_code in lines_with_code(text) if not is_code] == ["# Heading"]


@pytest.mark.parametrize("part", ["`", "~", " ", "> ", "-", "```\n", "    x\n\n", "<!--", "a: b\n"])
def test_the_time_is_linear(takes_linear_time, part):
    assert takes_linear_time(lambda text: list(lines_with_code(text)), lambda n: "---\na: b\n" + part * n)
