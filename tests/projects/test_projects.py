"""Two whole projects in other languages: a German utility and a Chinese web shop, of 30 documents and 60 conversations
each. Their facts are written by hand; the conversations are made from them, with personal data planted."""

import json
import random
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from stdnum import iban
from stdnum.cn import ric
from stdnum.de import idnr

from inhouse.config.sections import Assistant, Curation, Documents, Retrieval
from inhouse.datasets.curate import Curator, Sources
from inhouse.datasets.synthesize import from_documents
from inhouse.documents.load import DOCUMENTS, load_documents, read_documents
from inhouse.pipeline.questions import asks_in_own_words
from inhouse.privacy.anonymize import Anonymizer
from inhouse.retrieval.grounded import Grounding
from inhouse.retrieval.index import build_index
from inhouse.retrieval.search import Index
from inhouse.text.language import language
from inhouse.text.words import words
from inhouse.types import Document, Message, Silent

CONVERSATIONS, FIRST, RIGHT = 60, 3, 0.9
HANDOFFS = {
    "german": "Das weiß ich leider nicht, ich gebe Sie an eine Kollegin weiter.",
    "chinese": "抱歉，我不清楚，为您转接人工客服。",
}


class Asked(NamedTuple):
    question: str
    source: str
    fact: str
    answer: str  # the paragraph that holds the fact


def written(name):
    """The documents by file name, and the questions, of a text with "# file | title" and "? question = fact" lines."""
    documents, asked = {}, []
    source = paragraph = ""
    for line in (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            source, title = line[2:].split(" | ")
            source += ".md"
            documents[source] = [f"# {title}"]
        elif line.startswith("? "):
            question, fact = line[2:].split(" = ")
            assert fact in paragraph, line
            asked.append(Asked(question, source, fact, paragraph))
        else:
            documents[source] += ["", line]
            paragraph = line
    return {file: "\n".join(lines) + "\n" for file, lines in documents.items()}, asked


# --- people -------------------------------------------------------------------------------------------------------

FORENAMES = [
    "Anna",
    "Jürgen",
    "Fatma",
    "Stefan",
    "Katharina",
    "Wolfgang",
    "Mehmet",
    "Ursula",
    "Björn",
    "Sabine",
    "Lukas",
    "Heike",
]
SURNAMES = [
    "Müller",
    "Schröder",
    "Yılmaz",
    "Weiß",
    "Großmann",
    "Öztürk",
    "Kowalski",
    "Becker",
    "Hoffmann",
    "Brandt",
    "Vogel",
    "Lehmann",
]
STREETS = ("Lindenstraße", "Am Alten Markt", "Goethestr.", "Bahnhofstraße", "Kölner Weg", "Schillerplatz")
TOWNS = (("50674", "Köln"), ("80331", "München"), ("04109", "Leipzig"), ("20095", "Hamburg"), ("99084", "Erfurt"))
FAMILIES, GIVEN = "王李张刘陈杨赵黄周吴", ["伟", "芳", "秀英", "建国", "丽娜", "志强", "晓明", "雪梅", "浩然", "静"]
PLACES = (
    "浙江省杭州市西湖区文三路{n}号{m}幢302室",
    "广东省深圳市南山区科技南路{n}号",
    "北京市朝阳区建国路{n}号院{m}号楼1单元502",
)


def tax_number(rng):
    while True:
        digits = "".join(rng.choices("0123456789", k=10))
        for check in "0123456789":
            if digits[0] != "0" and idnr.is_valid(digits + check):
                return idnr.format(digits + check)


def german(rng):
    forename, surname, (code, town) = rng.choice(FORENAMES), rng.choice(SURNAMES), rng.choice(TOWNS)
    account = f"{rng.randrange(10**8):08}{rng.randrange(10**10):010}"
    number = iban.format(f"DE{iban.calc_check_digits('DE00' + account)}{account}")
    return {
        "name": f"{forename} {surname}", "surname": surname,
        "address": f"{rng.choice(STREETS)} {rng.randrange(1, 140)}, {code} {town}",
        "phone": rng.choice(("0171 {a} {b}", "+49 221 {a}{b}", "0341/{a}{b}")).format(
            a=rng.randrange(200, 999), b=rng.randrange(1000, 9999)),
        "birth": f"{rng.randrange(1, 29)}. {rng.choice(('März', 'Mai', 'Oktober'))} {rng.randrange(1950, 2004)}",
        "id": tax_number(rng), "iban": number, "mail": f"{forename[0]}.{surname}@post.example".lower(),
    }  # fmt: skip


def chinese(rng):
    born = f"{rng.randrange(1955, 2004)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
    number = f"{rng.choice(('330106', '440305', '110105'))}{born}{rng.randrange(1000):03}"
    name = rng.choice(FAMILIES) + rng.choice(GIVEN)
    return {
        "name": name, "address": rng.choice(PLACES).format(n=rng.randrange(10, 900), m=rng.randrange(2, 30)),
        "phone": f"1{rng.choice('3578')}{rng.randrange(10**9):09}", "id": number + ric.calc_check_digit(number),
        "birth": f"{born[:4]}年{int(born[4:6])}月{int(born[6:])}日", "mail": f"user{rng.randrange(10**6)}@mail.example",
    }  # fmt: skip


PEOPLE = {"german": german, "chinese": chinese}
OPENINGS = {
    "german": (
        "Guten Tag, mein Name ist {name}. {question}", "Hallo, hier ist {name}, {address}. {question}",
        "{question} Meine Telefonnummer ist {phone}.", "Ich bin am {birth} geboren, Steuer-ID {id}. {question}",
        "{question} Die IBAN lautet {iban}.", "Sie erreichen mich unter {mail}. {question}",
        "Ich heiße {name} und wohne in der {address}. {question}", "{question}\n\nMit freundlichen Grüßen\n{name}",
    ),
    "chinese": (
        "你好，我叫{name}，{question}", "{question}我的手机号是{phone}。", "我的地址是{address}，{question}",
        "身份证号{id}，{question}", "{question}我的邮箱是{mail}。", "我是{name}，出生日期{birth}。{question}",
        "收件人{name}，电话{phone}，地址{address}。{question}", "{question}我姓名{name}。",
    ),
}  # fmt: skip
REPLIES = {
    "german": ("Guten Tag, Frau {surname}! {answer}", "{answer}", "Gerne. {answer}", "{answer} Wir rufen Sie unter Ihrer Nummer {phone} an."),
    "chinese": ("您好，{name}！{answer}", "{answer}", "亲，{answer}", "{answer}我们会打您的电话{phone}联系您。"),
}  # fmt: skip


def conversations(name, asked, seed=5):
    """Rows in OpenAI's format, and the personal values in them."""
    rng = random.Random(f"{name} {seed}")
    rows, planted = [], set()
    for n in range(CONVERSATIONS):
        person, about = PEOPLE[name](rng), asked[n % len(asked)]
        opening = OPENINGS[name][n % len(OPENINGS[name])]
        reply = rng.choice(REPLIES[name])
        for form in (opening, reply):
            planted |= {person[key] for key in re.findall(r"{(\w+)}", form) if key in person}
        said = {**person, "question": about.question, "answer": about.answer}
        turns = [("user", opening.format(**said)), ("assistant", reply.format(**said))]
        rows.append({"id": f"c{n}", "messages": [{"role": r, "content": c} for r, c in turns]})
    return rows, planted


# --- the projects -------------------------------------------------------------------------------------------------


class Made(NamedTuple):
    folder: Path
    documents: list
    asked: list
    planted: set


@pytest.fixture(scope="module", params=["german", "chinese"])
def project(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "documents").mkdir()
    files, asked = written(request.param)
    for file, text in files.items():
        (folder / "documents" / file).write_text(text, encoding="utf-8")
    rows, planted = conversations(request.param, asked)
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "conversations.jsonl").write_text("\n".join(lines), encoding="utf-8")
    load_documents(folder / "documents", Documents(), folder / "cache", folder, Silent())
    return Made(folder, read_documents(folder / DOCUMENTS), asked, planted)


def found(project, embedder, folder):
    """The share of the questions whose fact is in the first three passages."""
    settings = Retrieval()
    build_index(project.documents, embedder, settings, folder, None, Silent())
    grounding = Grounding(Index(folder, embedder), embedder, settings, Assistant())
    missed = []
    for about in project.asked:
        hits = grounding.hits([Message(role="user", content=about.question)], k=FIRST)
        if not any(about.fact in h.chunk.text and h.chunk.source == about.source for h in hits):
            missed.append(about.question)
    return 1 - len(missed) / len(project.asked), missed


def test_the_projects_are_whole(project):
    assert len(project.documents) == 30
    assert len(project.asked) == 40
    code = "de" if project.folder.name.startswith("german") else "zh"
    assert {language(d.text) for d in project.documents} <= {code, ""}
    assert len(project.planted) > 80


def test_questions_find_their_passage_among_the_first_three(project, e5, tmp_path):
    share, missed = found(project, e5, tmp_path)
    assert share >= RIGHT, missed


def test_nothing_personal_is_left_and_nothing_is_in_english(project, e5, spacy_folder, tmp_path):
    name = "german" if project.folder.name.startswith("german") else "chinese"
    curator = Curator(Curation(), HANDOFFS[name], 3, e5, Anonymizer(spacy_folder, []))
    facts = curator.curate(
        Sources(project.documents, [project.folder / "conversations.jsonl"], [], [], {}), tmp_path, Silent()
    )
    assert facts["train"] + facts["validation"] + facts["test"] > CONVERSATIONS / 2
    text = "\n".join(
        f.read_text(encoding="utf-8") for f in sorted(tmp_path.iterdir()) if f.suffix in (".jsonl", ".json", ".md")
    )
    parts = {value for value in project.planted if value in text}
    compact = re.sub(r"[\s./-]", "", text)
    parts |= {v for v in project.planted if len(v) > 6 and re.sub(r"[\s./-]", "", v) in compact}
    assert parts == set()
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    made = [m["content"] for row in rows if row["metadata"].get("origin") == "synthetic" for m in row["messages"]]
    assert len(made) > 20
    assert not [t for t in made if {"the", "about", "what", "please", "know"} & set(words(t))]


def test_generated_questions_in_other_languages_do_not_teach_ranking(project):
    made = from_documents(project.documents).pairs
    assert len(made) > 20
    assert not any(map(asks_in_own_words, made))
    assert asks_in_own_words(made[0].model_copy(update={"origin": "human"}))
    english = Document(
        source="a.md",
        title="Fees",
        text="# Fees\n\n## Late fee\n\nThe late fee is $24 for every month that a payment is late.",
    )
    assert all(map(asks_in_own_words, from_documents([english]).pairs))
