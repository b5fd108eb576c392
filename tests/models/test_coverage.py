import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.cli.project import init
from inhouse.config.load import load_project
from inhouse.models.catalog import CATALOG
from inhouse.models.coverage import gaps, suited_embedder
from inhouse.pipeline.check import examine
from inhouse.pipeline.languages import HANDOFFS
from inhouse.text.language import language

GERMAN = "Die Gebühr für eine Überweisung beträgt zwölf Euro und wird am Monatsende von Ihrem Konto abgebucht."
ENGLISH = "The fee for a transfer is twelve euros and is charged to your account at the end of the month."
CHINESE = "国际转账手续费为十二元，月底从您的账户中扣除。"
TAMIL = "பரிமாற்றக் கட்டணம் பன்னிரண்டு யூரோ ஆகும்."


@pytest.mark.parametrize(
    ("name", "counts", "wanted"),
    [
        ("minilm-l6-v2", {"en": 30}, []),
        ("minilm-l6-v2", {}, []),
        ("minilm-l6-v2", {"en": 29, "de": 1}, []),  # a document is no language of the business
        ("minilm-l6-v2", {"de": 30}, [
            'The embedder minilm-l6-v2 knows English only; 30 of 30 documents are in de: set retrieval.embedder = "e5-small".'
        ]),
        ("minilm-l6-v2", {"en": 20, "ja": 5, "fr": 5}, ["5 of 30 documents are in fr", "5 of 30 documents are in ja"]),
        ("e5-small", {"de": 10, "zh": 10, "th": 10}, []),
        ("smollm2-135m-instruct", {"de": 30}, ['set model.base = "qwen2.5-coder-0.5b-instruct"']),
        ("smollm2-135m-instruct", {"sv": 30}, ["set model.base to a model that knows it"]),
        ("qwen2.5-coder-0.5b-instruct", {"zh": 30}, []),
        ("models/mine", {"zh": 30}, []),
    ],
)  # fmt: skip
def test_a_model_says_which_languages_it_does_not_know(name, counts, wanted):
    said = gaps(name, counts, [])
    assert len(said) == len(wanted)
    assert all(part in sentence for part, sentence in zip(wanted, said, strict=True))


def test_unknown_tokens_tell_where_nothing_is_declared(embedder, e5):
    text = "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ 𓀀𓁐"
    (said,) = gaps("models/mine", {}, [text, ENGLISH], embedder.unknown)
    assert "models/mine does not know" in said
    assert gaps("models/mine", {}, [ENGLISH, GERMAN], embedder.unknown) == []
    assert gaps("models/mine", {}, [CHINESE, TAMIL, GERMAN], e5.unknown) == []


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [([], "minilm-l6-v2"), ([ENGLISH], "minilm-l6-v2"), ([GERMAN], "e5-small"), ([CHINESE, GERMAN, ENGLISH], "e5-small"),
     ([ENGLISH, ENGLISH, GERMAN], "minilm-l6-v2"), ([ENGLISH, GERMAN], "minilm-l6-v2"), (["12 345"], "minilm-l6-v2")],
)  # fmt: skip
def test_the_embedder_suits_most_documents(texts, wanted):
    assert suited_embedder(texts, "minilm-l6-v2") == wanted


@pytest.mark.parametrize(("text", "chosen"), [(GERMAN, True), (CHINESE, True), (ENGLISH, False), (None, False)])
def test_init_chooses_an_embedder_for_the_documents_that_are_there(tmp_path, capsys, text, chosen):
    folder = tmp_path / "new"
    if text:
        (folder / "documents").mkdir(parents=True)
        for n in range(3):
            (folder / "documents" / f"{n}.md").write_text(f"# {n}\n\n{text}")
    init(folder)
    project = load_project(folder)
    assert (project.retrieval.embedder == "e5-small") == chosen
    said = " ".join(capsys.readouterr().out.split())
    assert ('set retrieval.embedder = "e5-small", since minilm-l6-v2 knows English only' in said) == chosen
    assert ("inhouse models pull e5-small" in said) == chosen
    assert (language(project.assistant.handoff) in ("de", "zh")) == chosen


def test_check_says_which_languages_the_documents_are_in(tmp_path, models_dir):
    (tmp_path / "documents").mkdir()
    for n in range(3):
        (tmp_path / "documents" / f"{n}.txt").write_text(GERMAN + f" Stand {n}.")
    (tmp_path / "inhouse.toml").write_text('name = "x"\n')
    item = next(i for i in examine(Workspace(load_project(tmp_path))).items if i.subject == "languages")
    assert item.ok
    assert item.detail.startswith(
        "of 3 documents looked at, 3 in de. warning: The embedder minilm-l6-v2 knows English only;"
    )
    assert "model.base" in item.detail
    assert (
        "The guardrails groundedness, injection, toxicity were trained on English texts; documents are in de."
        in item.detail
    )
    assert "assistant.handoff is in en; most documents are in de." in item.detail
    assert "Names of people in de are found by rules" in item.detail


def test_the_replies_are_in_their_languages():
    assert [language(text) for text in HANDOFFS.values()] == list(HANDOFFS)


def test_default_models_say_what_they_know():
    assert all(entry.languages for entry in CATALOG.values() if entry.kind != "ner")
