from inhouse.datasets.variants import variants
from inhouse.types import Document, Example, Message, Source

HANDOFF = "I pass you on to a colleague."
DOCUMENTS = [
    Document(source="cards/summit.md", title="Summit Card",
             text="The Summit Card is for travel. The late fee is $24. It lasts 45 days."),
    Document(source="cards/river.md", title="River Card", text="The River Card is blue and comes with a pen."),
    Document(source="loans/auto.md", title="Auto Loans", text="Auto loans cost 7.3% and last 60 months."),
]  # fmt: skip


def example(n, question, target, source="cards/summit.md"):
    return Example(id=f"e{n}", messages=(Message(role="user", content=question),), target=target,
                   sources=(Source(document=source),), group=f"e{n}")  # fmt: skip


EXAMPLES = [
    example(1, "hi, what is the late fee of the Summit Card?", "The late fee is $24."),
    example(2, "How long does the Summit Card last?", "It lasts 45 days."),
    example(3, "what do auto loans cost", "Auto loans cost 7.3%.", "loans/auto.md"),
]


def made(examples=EXAMPLES, handoff=HANDOFF, times=12):
    many = [e.model_copy(update={"id": f"{e.id}-{n}"}) for n in range(times) for e in examples]
    return variants(many, DOCUMENTS, handoff, 7)


def test_a_follow_up_leaves_its_subject_to_the_conversation():
    conversations = {tuple(m.content for m in e.messages): e.target for e in made() if len(e.messages) == 3}
    asked = ("what is the late fee of the Summit Card?", "The late fee is $24.", "how long does it last?")
    assert conversations[asked] == "It lasts 45 days."


def test_two_questions_about_two_documents():
    both = [e for e in made() if len(e.messages) == 1 and "%" in e.target and "$24" in e.target]
    assert both
    assert all(len(e.sources) == 2 for e in both)


def test_a_near_miss_is_handed_off():
    missed = [e for e in made(times=60) if e.target == HANDOFF]
    assert missed
    asked = {"what is the late fee of the River Card?", "How long does the River Card last?"}
    assert {e.question for e in missed if len(e.messages) == 1} == asked
    assert not any(e.answerable or e.sources for e in missed)


def test_a_further_question_that_no_document_of_the_subject_answers_is_handed_off():
    later = [e for e in made(times=60) if e.target == HANDOFF and len(e.messages) == 3]
    assert {e.messages[1].content for e in later} <= {e.target for e in EXAMPLES}
    further = {e.question for e in later if not set(e.question.split()) & {"fee", "last", "late"}}
    assert further
    answered = [d.model_copy(update={"text": f"{d.text} {' '.join(further)}"}) for d in DOCUMENTS]
    several = [e.model_copy(update={"id": f"{e.id}-{n}"}) for n in range(60) for e in EXAMPLES]
    assert not further & {e.question for e in variants(several, answered, HANDOFF, 7)}


def test_no_near_miss_where_the_neighbor_may_have_the_answer():
    river = DOCUMENTS[1].model_copy(update={"text": "The River Card has no annual fee; cards last 30 days."})
    several = [e.model_copy(update={"id": f"{e.id}-{n}"}) for n in range(12) for e in EXAMPLES]
    made = variants(several, [DOCUMENTS[0], river, DOCUMENTS[2]], HANDOFF, 7)
    assert not [e for e in made if e.target == HANDOFF and "River" in e.question]


def test_nothing_is_made_of_restricted_documents_or_placeholders():
    secret = [d.model_copy(update={"access": frozenset({"staff"})}) for d in DOCUMENTS]
    assert variants(EXAMPLES * 12, secret, HANDOFF, 7) == []
    personal = [example(1, "I am <PERSON_1>, what is the late fee?", "The late fee is $24.")]
    assert made(personal) == []


def test_the_same_seed_makes_the_same_variants():
    assert made() == made()
    assert not [e for e in made(handoff="") if not e.answerable]


def test_other_languages_get_no_english_variants():
    german = [
        Document(source="karten/gold.md", title="Goldkarte", text="Die Goldkarte ist für Reisen. Die Gebühr beträgt $24 im Jahr. Sie gilt 45 Tage lang."),
        Document(source="karten/blau.md", title="Blaukarte", text="Die Blaukarte ist blau und kommt mit einem Stift."),
    ]  # fmt: skip
    asked = [
        example(1, "Wie hoch ist die Gebühr für die Goldkarte?", "Die Gebühr für die Goldkarte beträgt $24.", "karten/gold.md"),
        example(2, "Wie lange gilt die Goldkarte nach der Bestellung?", "Die Goldkarte gilt 45 Tage lang.", "karten/gold.md"),
        example(3, "Goldkarte?", "$24", "karten/gold.md"),
    ]  # fmt: skip
    many = [e.model_copy(update={"id": f"{e.id}-{n}"}) for n in range(12) for e in asked]
    assert variants(many, german, HANDOFF, 7) == []
    english = [e.model_copy(update={"id": f"{e.id}x{n}"}) for n in range(12) for e in EXAMPLES]
    mixed = variants([*many, *english], [*german, *DOCUMENTS], HANDOFF, 7)
    assert mixed
    assert not [e for e in mixed if "karte" in " ".join(m.content for m in e.messages).lower()]
