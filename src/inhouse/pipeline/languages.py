"""The languages of a project's documents before a build: what `inhouse init` sets for them, and what `check` says."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.documents.load import sample_texts
from inhouse.errors import InhouseError
from inhouse.models.coverage import suited_embedder
from inhouse.privacy.foreign import gaps as personal_data_gaps
from inhouse.text.language import languages, spoken

HANDOFFS = {
    "de": "Dazu habe ich leider keine Informationen. Ich verbinde Sie mit einem Menschen, der Ihnen weiterhelfen kann.",
    "es": "No tengo esa información, así que le paso con un compañero que puede ayudarle.",
    "fr": "Je n'ai pas cette information ; je vous mets en relation avec un collègue qui pourra vous aider.",
    "it": "Non ho questa informazione, la passo a un collega che può aiutarla.",
    "ja": "その情報は持ち合わせておりませんので、担当者におつなぎします。",
    "ko": "해당 정보가 없어 도움을 드릴 수 있는 담당자에게 연결해 드리겠습니다.",
    "nl": "Ik heb deze informatie niet, dus ik verbind u door met een collega die u kan helpen.",
    "pl": "Nie mam tej informacji, dlatego przekazuję rozmowę osobie, która może pomóc.",
    "pt": "Não tenho essa informação; vou passar o atendimento a um colega que pode ajudar.",
    "ru": "У меня нет этой информации, поэтому я передаю вас коллеге, который сможет помочь.",
    "sv": "Jag har inte den informationen, så jag kopplar dig till en kollega som kan hjälpa till.",
    "zh": "我没有这方面的信息，将为您转接同事处理。",
}
"""`assistant.handoff` by language; the default is English."""


def chosen_values(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The keys that a new project needs for the documents that its folder already has, and a line for each."""
    settings = Project(name="new")
    try:
        with tempfile.TemporaryDirectory() as cache:
            texts = sample_texts(folder / settings.documents.path, settings.documents, Path(cache))
    except InhouseError:  # no documents yet, or none that can be read
        return {}, []
    usual, counts = settings.retrieval.embedder, languages(texts)
    if (embedder := suited_embedder(texts, usual)) == usual:
        return {}, []
    values = {"retrieval.embedder": embedder}
    looked_at = f"Of {len(texts)} documents looked at, {_counted(counts)}"
    why = f'set retrieval.embedder = "{embedder}", since {usual} knows English only'
    lines = [f"{looked_at}: {why}. Run: inhouse models pull {embedder}"]
    code = max(counts, key=lambda name: counts[name])
    if handoff := HANDOFFS.get(code, ""):
        values["assistant.handoff"] = handoff
        lines.append(f"Set assistant.handoff in {code}.")
    else:
        lines.append(f"assistant.handoff is in English: write it in {code}.")
    return values, lines


def languages_of_documents(workspace: Workspace) -> str:
    """The languages of some documents, and what is not known or not written in them; "" if none can be read."""
    project = workspace.project
    folder = project.path(project.documents.path)
    try:
        texts = sample_texts(folder, project.documents, workspace.store.cache("documents"))
    except InhouseError:  # said by other items
        return ""
    missing = []
    with suppress(InhouseError):  # a model that is not there is said too
        missing = workspace.language_gaps(texts)
    if project.curation.anonymize:
        missing += personal_data_gaps(spoken(languages(texts)))
    warning = f" warning: {' '.join(missing)}" if missing else ""
    return f"of {len(texts)} documents looked at, {_counted(languages(texts))}.{warning}"


def _counted(counts: Mapping[str, int]) -> str:
    """Such as "28 in de, 2 in en"."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{n} in {code}" for code, n in ordered) or "none is clearly in one language"
