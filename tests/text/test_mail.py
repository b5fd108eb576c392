"""Headers of mails, signatures and footers of mail programs are no content; what only looks like them is."""

import pytest

from inhouse.text.mail import mail_content

BLOCK = "From: Ann Lee <ann@bank.example>\nSent: Monday, March 4, 2024 8:30 AM\nTo: Bob\nSubject: Fees"


@pytest.mark.parametrize(
    ("mail", "content"),
    [
        ("On Mon, 4 Mar 2024 at 08:30, Ann <ann@bank.example> wrote:\n> Which fee?", "Yes.\n\n> Which fee?"),
        ("On Mon, 4 Mar 2024 at 08:30, Ann\n<ann@bank.example> wrote:\n\n> Which fee?", "Yes.\n\n> Which fee?"),
        ("On 4 March Ann wrote:\n> Which fee?", "Yes.\n\n> Which fee?"),
        ("> Am 04.03.2024 um 08:30 schrieb Ann <a@b.example>:\n>> Welche?", "Yes.\n\n>> Welche?"),
        ("Le 4 mars 2024 à 08:30, Ann <a@b.example> a écrit :\n> Quels frais ?", "Yes.\n\n> Quels frais ?"),
        (f"-----Original Message-----\n{BLOCK}\n\nWhich fee?", "Yes.\n\nWhich fee?"),
        (f"________________________________\n{BLOCK}\n\nWhich fee?", "Yes.\n\nWhich fee?"),
        (f"---\n\n{BLOCK}\n\nWhich fee?".replace("From:", "**From:**"), "Yes.\n\nWhich fee?"),
        (
            "---------- Forwarded message ---------\nFrom: Ann <ann@bank.example>\nDate: Mon, 4 Mar 2024\n"
            "Subject: Fees\nTo: Bob <bob@bank.example>,\nCarol <carol@bank.example>\nCc: Dan\n\nWhich fee?",
            "Yes.\n\nWhich fee?",
        ),
        (
            "> Begin forwarded message:\n>\n> **From:** Ann <ann@bank.example>\n>\n> **Subject:** Fees\n>\n"
            "> **Date:** 4 March 2024 at 08:30:00 GMT\n>\n> **To:** Bob\n>\n> Which fee?",
            "Yes.\n\n>\n> Which fee?",
        ),
        ("Von: Ann\nGesendet: Montag\nAn: Bob\nBetreff: Gebühren\n\nWelche?", "Yes.\n\nWelche?"),
    ],
)
def test_headers_of_quoted_mail_go_and_what_it_says_stays(mail, content):
    assert mail_content(f"Yes.\n\n{mail}") == content


def test_headers_at_the_top():
    head = "Received: from x.example\nMessage-ID: <1@x.example>\nDate: Mon, 4 Mar 2024\nFrom: a@x.example\nX-Spam: no\n"
    assert mail_content(f"{head}Subject: Fees\nMIME-Version: 1.0\n\nWhich fee?") == "Which fee?"


@pytest.mark.parametrize(
    ("mail", "content"),
    [
        ("It is $5.\n\n-- \nAnn Lee\nFirst Bank\n\n1 Main St", "It is $5."),
        ("It is $5.\n--\nAnn\n\nOn 4 March at 08:30 Bob wrote:\n> Which?\n> -- \n> Bob", "It is $5.\n\n> Which?"),
        (f"It is $5.\n--\nAnn\n\n{BLOCK}\n\nWhich fee?", "It is $5.\n\nWhich fee?"),
        ("It is $5.\n\nSent from my iPhone\n", "It is $5."),
        ("It is $5.\n\nGet [Outlook for iOS](https://a.example/x)\n\n> Which?", "It is $5.\n\n> Which?"),
        ("Es sind 5 €.\n\nVon meinem iPhone gesendet", "Es sind 5 €."),
    ],
)
def test_signatures_and_footers_go(mail, content):
    assert mail_content(mail) == content


@pytest.mark.parametrize(
    "text",
    [
        "One.\r\nTwo.\n\n\n\nThree.  \n",
        "From: Cambridge\nTo: London\nDate: Monday\nTime: 10:00",
        "To: all staff\nFrom: Personnel\nDate: March 4, 2024\nSubject: Leave\n\nLeave is 20 days.",
        "On page 3 the auditor wrote:\nNothing is missing.",
        "--\n-- Table fees\n--\n\nCREATE TABLE fees",
        "Use this:\n```\n--\nselect 1\n```",
        "First item\n--\n" + "More text\n" * 21,
        "Sent from my branch to yours, a parcel takes two days.\nInside a city it takes one.",
        "| Fee | From |\n| --- | --- |\n| $5 | today |",
    ],
)
def test_what_only_looks_like_it_stays(text):
    assert mail_content(text) == text


@pytest.mark.parametrize(
    "part",
    ["--\n", "--\nx\n", "--\n\n\n", "From: a\n", "--\nFrom: a\nDate: 1\n", "On 1 wrote:\n", "---\n\n", "> ", "\n",
     "Sent from my x\n", "On ", "x-"],
)  # fmt: skip
def test_odd_mails_take_linear_time(part, takes_linear_time):
    assert takes_linear_time(mail_content, lambda n: part * n)
