from inhouse.evaluation.probes import ENGLISH, KINDS, make_probes
from inhouse.text.language import language
from inhouse.text.words import words
from inhouse.types import Checks, Document, Example, Message, Source

FEES = Document(
    source="fees.csv", title="Fee schedule",
    text="| Service | Fee |\n| --- | --- |\n| Stop payment | $16 |\n| Money order | $2.30 |\n| Wire | $21.50 |",
)  # fmt: skip
CARD = Document(source="card.md", title="Summit Card", text="# Summit Card\n\nThe Summit Card costs $8 a month.")
SECRET = Document(source="staff.md", title="Waivers", text=FEES.text.replace("Wire", "Waiver"), access=frozenset({"x"}))


def question(n, question, answer, *facts, source="card.md"):
    return Example(id=f"t{n}", messages=(Message(role="user", content=question),), target=answer, group=f"t{n}",
                   sources=(Source(document=source),), checks=Checks(must_include=tuple((f,) for f in facts)))  # fmt: skip


TESTS = [
    question(1, "What does the Summit Card cost each month?", "The Summit Card costs $8 a month.", "$8"),
    question(2, "What is the interest rate of the Summit Card?", "It is 19.60%.", "19.60%"),
    question(3, "When does the branch in Millbrook open?", "At 9 am.", "9 am", source="branches.md"),
    question(4, "What does an overdraft cost?", "It costs $18.50.", "$18.50", source="overdraft.md"),
]


def made(most=6, tests=TESTS, documents=(FEES, CARD, SECRET), languages=("en",)):
    probes, unmade = make_probes(tests, documents, "I pass you on.", languages, most, 7)
    kinds = {}
    for e in probes:
        kinds.setdefault(e.kind, []).append(e)
    return kinds, unmade


def test_every_kind_that_the_data_can_make():
    kinds, unmade = made()
    assert set(KINDS) <= set(kinds)
    assert unmade == {}


def test_questions_in_other_languages_go_to_a_person():
    kinds, _ = made(most=20, languages=("en", "de"))
    asked = {language(e.question) for e in kinds["language"]}
    assert asked == {"es", "fr", "it", "pt", "nl", "pl", "tr"}
    assert all(e.checks.must_hand_off for e in kinds["language"])
    assert "language" in made(languages=())[1]


def test_a_table_is_asked_row_by_row_and_the_neighbor_is_wrong():
    kinds, _ = made()
    (stop,) = (e for e in kinds["sibling"] if "stop payment" in e.question)
    assert stop.checks == Checks(must_include=(("$16",),), must_not_include=("$2.30",))
    assert {e.question for e in kinds["table"]} == {
        "What is the fee for stop payment?", "What is the fee for money order?", "What is the fee for wire?",
    }  # fmt: skip


def test_a_follow_up_leaves_the_subject_out():
    kinds, _ = made()
    about_card = [e for e in kinds["follow_up"] if e.question.endswith(" it?")]
    assert [e.messages[-1].content for e in about_card] == ["What is the interest rate of it?"]
    assert about_card[0].turn == 2
    assert about_card[0].checks.must_include == (("19.60%",),)


def test_a_typo_changes_letters_but_no_name_and_no_number():
    kinds, _ = made()
    for e in kinds["typo"]:
        original = next(t for t in TESTS if t.checks == e.checks)
        assert e.question != original.question
        assert sorted(e.question) == sorted(original.question)
        assert "Millbrook" in e.question or "Summit Card" in e.question or original.id == "t4"


def test_an_amount_a_month_makes_a_year():
    kinds, _ = made()
    assert kinds["arithmetic"][0].checks == Checks(must_include=(("96.00", "96"),), may_hand_off=True)


def test_a_near_miss_must_not_be_answered():
    kinds, _ = made()
    assert all(e.checks.must_not_answer and not e.answerable for e in kinds["near_miss"])


def test_restricted_documents_are_never_asked_about():
    kinds, _ = made()
    assert not [e for own in kinds.values() for e in own if "waiver" in e.question.lower()]


def test_kinds_in_the_tests_are_not_made_again_and_reasons_are_given():
    own = TESTS[0].model_copy(update={"kind": "typo"})
    kinds, unmade = made(tests=[own], documents=[CARD])
    assert "typo" not in kinds
    assert unmade["table"] == KINDS["table"]
    assert make_probes(TESTS, [FEES], "", (), 0, 7) == ([], {})


def test_at_most_so_many_and_always_the_same():
    kinds, _ = made(most=1)
    assert all(len(own) == 1 for kind, own in kinds.items() if kind)
    assert kinds == made(most=1)[0]


def test_german_data_gets_no_english_question():
    text = (
        "# Tarif Grün\n\nDer Tarif Grün ist für alle Haushalte, die ihren Strom aus Wasser und Wind beziehen wollen.\n\n"
        "| Leistung | Preis |\n|---|---|\n| Grundpreis | 9 Euro |\n| Arbeitspreis | 31 Cent |\n"
    )
    documents = [Document(source=f"{n}.md", title=f"Tarif {n}", text=text) for n in ("Grün", "Blau")]
    tests = [
        Example(
            id=f"t{n}", messages=(Message(role="user", content=question),), target=answer,
            checks=Checks(must_include=((value,),)), sources=(Source(document=f"{n}.md"),),
        )
        for n, question, answer, value in (
            ("Grün", "Was kostet der Tarif Grün im Monat?", "Der Tarif Grün kostet $9 a month.", "9"),
            ("Grün", "Wie lange läuft der Vertrag im Tarif Grün?", "Der Vertrag läuft zwölf Monate.", "zwölf"),
            ("Blau", "Welcher Preis gilt für den Tarif Blau?", "Der Tarif Blau kostet 31 Cent.", "31"),
        )
    ]  # fmt: skip
    made, unmade = make_probes(tests, documents, "Das weiß ich nicht.", {"de"}, 5, 1)
    assert {e.kind for e in made} == {"typo", "case", "small_talk", "person", "language"}
    assert {unmade[k] for k in ENGLISH} == {"made for English alone; most documents are in de"}
    said = {e.question for e in made if e.kind in ("small_talk", "person")}
    assert {"Hallo!", "Ich möchte mit einem Mitarbeiter sprechen"} & said
    assert not {w for q in said for w in words(q)} & {"the", "you", "talk", "thanks"}
    swedish = [
        d.model_copy(update={"text": "Avtalet gäller i tolv månader och kan sägas upp med en månads varsel."})
        for d in documents
    ]
    made, unmade = make_probes([], swedish, "Jag vet inte.", {"sv"}, 5, 1)
    assert {e.kind for e in made} == {"language"}
    assert unmade["small_talk"] == "not written in the language of the documents"
