import json
from string import Formatter

import pytest

from inhouse.chat import Delta, Finish
from inhouse.datasets.synthesize import from_documents, from_teacher
from inhouse.datasets.templates import TEMPLATES
from inhouse.errors import BackendError
from inhouse.text.language import language
from inhouse.text.words import words
from inhouse.types import Document, Silent

TEXT = """# Wire transfers

Intro.

## Fees

| Service | Fee | Arrives |
|---|---|---|
| Domestic wire | $18 | the same day |
| Foreign wire | $41 | in 3 days |

## Cut-off times

Wires sent before 15:40 leave on the **same day**. Later ones leave the next morning.

## How to cancel a wire

- Call [the desk](https://x.example)
- Give form AF-12

## Questions

### Can I send one on Sunday?

No, wires leave from Monday to Friday.

### Are wire transfers insured?

Yes, up to $9,000.

## Reviews

I sent money with my phone and it took two days, which I did not expect at all.
"""


def document(**more):
    return Document(**({"source": "wires.md", "text": TEXT, "title": "Wire transfers"} | more))


def test_pairs_from_structure():
    made = from_documents([document()]).pairs
    pairs = {e.question: e.target for e in made}
    assert pairs["Are wire transfers insured?"] == "Yes, up to $9,000."
    sunday = next(q for q in pairs if q.endswith("Can I send one on Sunday?"))
    assert "wire transfers" in sunday
    assert "For domestic wire, the fee is $18." in pairs.values()
    assert "Wires sent before 15:40 leave on the same day. Later ones leave the next morning." in pairs.values()
    assert any(
        q.endswith("How do I cancel a wire?") and a == "Call the desk. Give form AF-12." for q, a in pairs.items()
    )
    assert not any("I sent money" in a for a in pairs.values())
    assert {(e.group, e.origin, e.sources[0].document) for e in made} == {("wires.md", "synthetic", "wires.md")}
    assert len({e.id for e in made}) == len(made)


def test_restricted_documents_are_left_out():
    assert from_documents([document(access=frozenset({"staff"}))]).pairs == []


def test_footers_and_remarks_are_no_answers():
    text = "# {0}\n\n## Price of {0}\n\nIt costs ${1} for every year that you keep it.\n\n## Help\n\nThe desk is open from Monday to Friday.\n\n"
    table = "## Fees\n\n| Service | Fee | Notes |\n|---|---|---|\n| {0} copy | ${1} | each hour |\n| {0} proof | $9{1} | by post |\n"
    names = ("Alpha", "Beta", "Gamma")
    made = from_documents([
        Document(source=f"{n}.md", title=name, text=(text + table).format(name, n)) for n, name in enumerate(names)
    ]).pairs  # fmt: skip
    said = [e.target for e in made]
    assert len([t for t in said if "for every year" in t]) == 3
    assert not [t for t in said if "Monday" in t or "each hour" in t]
    assert len([t for t in said if "the fee is" in t]) == 6


PARTS = {  # a heading with its text, a table of prices, a question with its answer
    "de": ("Gebühren", "Eine Überweisung ins Ausland kostet zwölf Euro und wird dem Konto belastet.", "Leistung", "Preis",
           "Wie lange dauert eine Überweisung?", "Eine Überweisung dauert einen Tag."),
    "fr": ("Frais", "Un virement vers l'étranger coûte douze euros et est débité du compte.", "Service", "Prix",
           "Combien de temps dure un virement ?", "Un virement dure un jour ouvrable."),
    "es": ("Comisiones", "Una transferencia al extranjero cuesta doce euros y se carga en la cuenta.", "Servicio", "Precio",
           "¿Cuánto tarda una transferencia?", "Una transferencia tarda un día hábil."),
    "it": ("Commissioni", "I bonifici verso l'estero costano dodici euro e vengono addebitati sul conto.", "Servizio", "Prezzo",
           "Quanto dura un bonifico?", "Un bonifico richiede un giorno lavorativo."),
    "pt": ("Tarifas", "Uma transferência para o exterior custa doze euros e é debitada da conta.", "Serviço", "Preço",
           "Quanto tempo demora uma transferência?", "Uma transferência demora um dia útil."),
    "nl": ("Kosten", "Een overboeking naar het buitenland kost twaalf euro en wordt van de rekening afgeschreven.", "Dienst",
           "Prijs", "Hoe lang duurt een overboeking?", "Een overboeking duurt een werkdag."),
    "pl": ("Opłaty", "Przelew za granicę kosztuje dwanaście euro i obciąża rachunek klienta.", "Usługa", "Cena",
           "Jak długo trwa przelew?", "Przelew trwa jeden dzień roboczy."),
    "sv": ("Avgifter", "En överföring till utlandet kostar tolv euro och dras från kundens konto.", "Tjänst", "Pris",
           "Hur lång tid tar en överföring?", "En överföring tar en bankdag."),
    "ru": ("Комиссии", "Перевод за границу стоит двенадцать евро и списывается со счёта.", "Услуга", "Цена",
           "Сколько длится перевод?", "Перевод занимает один рабочий день."),
    "ja": ("手数料", "海外への送金手数料は十二ユーロで、口座から引き落とされます。", "サービス", "料金",
           "送金にはどのくらいかかりますか？", "送金には一営業日かかります。"),
    "zh": ("手续费", "汇往国外的手续费为十二欧元，将直接从您的账户中扣除。", "服务", "价格",
           "汇款需要多长时间？", "汇款通常需要一个工作日到账。"),
    "zh-Hant": ("手續費", "匯往國外的手續費為十二歐元，將會直接從您的帳戶中扣除。", "服務", "價格",
                "匯款需要多久時間？", "匯款通常需要一個工作天。"),
    "ko": ("수수료", "해외 송금 수수료는 십이 유로이며 고객의 계좌에서 바로 출금됩니다.", "서비스", "가격",
           "송금은 얼마나 걸리나요?", "송금은 영업일 기준 하루가 걸립니다."),
    "fi": ("Hinnat", "Tilisiirto ulkomaille maksaa kaksitoista euroa ja se veloitetaan tililtä.", "Palvelu", "Hinta",
           "Kuinka kauan tilisiirto kestää?", "Tilisiirto kestää yhden pankkipäivän."),
    "cs": ("Poplatky", "Převod do zahraničí stojí dvanáct eur a strhne se z účtu klienta.", "Služba", "Cena",
           "Jak dlouho trvá převod?", "Převod trvá jeden pracovní den."),
}  # fmt: skip


@pytest.mark.parametrize("code", PARTS)
def test_questions_are_in_the_language_of_the_document(code):
    heading, answer, name, column, asks, replies = PARTS[code]
    text = (
        f"# SX 7\n\n## {heading}\n\n{answer}\n\n## {asks}\n\n{replies}\n\n## {name}\n\n"
        f"| {name} | {column} | X |\n|---|---|---|\n| Alpha | 12 € | - |\n| Beta | 8 € | - |\n"
    )
    pairs, without_forms = from_documents([Document(source="a.md", text=text, title="SX 7")])
    targets = [e.target for e in pairs]
    assert replies in targets  # a question that stands in the document needs no form
    assert not [e.question for e in pairs if {"the", "about", "what", "please"} & set(words(e.question))]
    if code in ("fi", "cs"):
        assert (targets, dict(without_forms)) == ([replies], {code: 2})
        return
    forms = TEMPLATES[code]
    assert (dict(without_forms), answer in targets) == ({}, True)
    assert [e for e in pairs if any(e.question.endswith(form.format(heading)) for form in forms.section)]
    assert any("Alpha" in t and "12 €" in t and column in t for t in targets)
    assert all(t.endswith(tuple(".。?？")) for t in targets)


def test_no_pair_comes_from_code_or_front_matter():
    code = "# Install the command line tool first\npip install example-tool and then run it as often as you like\n# Then configure it\nexample configure --region eu"
    fences = [f"```bash\n{code}\n```", f"~~~\n{code}\n~~~", f"````md\n```\n{code}\n```\n````", f"1. Run\n\n   ```\n{code}\n   ```",
              "    " + code.replace("\n", "\n    "), f"<pre>\n{code}\n</pre>", f"<!--\n{code}\n-->", f"```\n{code}"]  # fmt: skip
    for fence in fences:
        text = f"---\ntitle: Guide\n# note: nothing to see here, only a comment of some length\n---\n# Guide\n\n## Setup\n\n{fence}\n"
        assert from_documents([Document(source="a.md", text=text, title="Guide")]).pairs == [], fence
    text = f"# Tool\n\n## Setup\n\nThe setup takes five minutes and needs no rights of an administrator.\n\n## Code\n\n{fences[0]}\n\n## After it\n\nText after the code stays below its own heading, as it should."
    headings = {
        e.question.split()[-1] for e in from_documents([Document(source="a.md", text=text, title="Tool")]).pairs
    }
    assert len(headings) == 2


def test_the_language_of_a_section_and_of_the_other_documents_counts():
    german = "Die Gebühr beträgt zwölf Euro und wird jedes Jahr am ersten Werktag von Ihrem Konto abgebucht, sofern Sie nicht vorher kündigen."
    english = "The fee is twelve euros and is charged to your account on the first working day of each year unless you cancel before."
    both = Document(
        source="a.md", title="Konto", text=f"# Konto\n\n## Gebühr\n\n{german}\n\n## Annual fee\n\n{english}"
    )
    questions = {e.target: e.question for e in from_documents([both]).pairs}
    assert "„Gebühr“" in questions[german]
    assert "annual fee" in questions[english]
    short = Document(
        source="b.md",
        title="Tarif S",
        text="# Tarif S\n\n## Preise\n\n| Tarif | Preis |\n|---|---|\n| Tarif S | 12 € |\n| Tarif M | 14 € |",
    )
    assert any(
        "Tarif S" in e.question and "„" in e.target
        for e in from_documents([both.model_copy(update={"text": f"# Konto\n\n{german}"}), short]).pairs
    )


@pytest.mark.parametrize(
    "text",
    ["I costi del bonifico sono indicati nel listino e non cambiano durante l'anno.",  # "I" is an article
     "Jeśli klient chce zmienić plan, musi wysłać formularz I podpisać umowę w biurze."],
)  # fmt: skip
def test_i_is_a_person_in_english_alone(text):
    document = Document(source="a.md", title="A", text=f"# A\n\n## Listino 2026\n\n{text}")
    assert [e.target for e in from_documents([document]).pairs] == [text]


def test_the_forms_are_complete():
    for code, forms in TEMPLATES.items():
        assert len(forms.section) >= 4, code
        for form in (*forms.about, *forms.section):
            assert form.format("X").count("X") == 1, code
        for form in (*forms.cell, forms.says):
            assert {"{row}", "{column}"} <= {f"{{{f}}}" for _, f, _, _ in Formatter().parse(form) if f}, code
        assert code == "en" or code.split("-")[0] == language(
            " ".join(forms.about + forms.section).replace("{}", "")
        ), code


@pytest.mark.parametrize("part", ["!", "。", "? ", "# ", "a. ", "- a\n", "| a | b |\n", "1.", "```\n"])
def test_the_time_is_linear(takes_linear_time, part):
    def work(text):
        return from_documents([Document(source="a.md", title="A", text=text)])

    assert takes_linear_time(work, lambda n: "# A\n\n## B\n\n" + part * n, 1000)


class Teacher:
    name = "teacher"

    def __init__(self, *replies):
        self.replies = list(replies)

    async def stream(self, request):
        assert request.json_schema
        reply = self.replies.pop(0) if self.replies else "nothing"
        if isinstance(reply, Exception):
            raise reply
        yield Delta(text=reply)
        yield Finish(reason="stop")


async def test_a_teachers_pairs_must_be_grounded():
    text = "## Fees\n\nA domestic wire costs $18 and leaves on the same day when it is sent before 15:40 on weekdays."
    pairs = [
        {"question": "What does a domestic wire cost?", "answer": "A domestic wire costs $18."},
        {"question": "What does a foreign wire cost?", "answer": "A domestic wire costs $19."},
        {"question": "What does the text say of wires?", "answer": "A domestic wire costs $18."},
        {"question": "Who invented the telegraph?", "answer": "Samuel Morse invented that in America."},
    ]
    one = document(text=text)
    made, refused = await from_teacher([one], Teacher("Here: " + json.dumps({"pairs": pairs})), 4, Silent())
    assert [e.target for e in made] == ["A domestic wire costs $18."]
    assert refused.total() == 3
    made, refused = await from_teacher([one], Teacher("no JSON"), 4, Silent())
    assert (made, dict(refused)) == ([], {"not the requested JSON": 1})
    with pytest.raises(BackendError):
        await from_teacher([one], Teacher(BackendError("down")), 4, Silent())
