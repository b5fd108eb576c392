"""A release's model in a folder that runs without inhouse: GGUF, tokenizer, chat template, Ollama, vLLM, model card.

The card says what is not in the folder: retrieval, guardrails and the audit log belong to the gateway.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from inhouse.assembly.arms import with_examples
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.files import file_sha256, write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.retrieval.grounded import ungrounded
from inhouse.serving.open import few_shot_of, settings_of, verified
from inhouse.serving.releases import label
from inhouse.training.convert import save_tokenizer
from inhouse.training.gguf import read, value
from inhouse.types import Artifact, Message, Passage, Release
from inhouse.verdict import Recommendation, Report, TrainingFacts, points

FORMS = ("merged", "adapter")
CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
QUESTION = "Your question."


def export(workspace: Workspace, release: Release, folder: Path, form: str = "merged") -> dict[str, int]:
    """Writes the folder, whole or not at all; returns its files with their sizes in bytes.

    Args:
        workspace: whose store holds the release's artifacts.
        release: what is exported.
        folder: a new or empty one.
        form: "merged", or "adapter" for the base with the LoRA adapter beside it.

    Raises:
        ConfigError: the folder is not empty, or the release has no adapter.
        InputError: an artifact of the release is gone.
        BackendError: the disk is full, or the folder cannot be written.
    """
    if form not in FORMS:
        raise ConfigError(f"{form}: not an export form", f"choose one of: {', '.join(FORMS)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: not empty", "name a new folder; export does not overwrite files")
    work = folder.resolve().with_name(f".{folder.resolve().name}.partial")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        with verified(workspace, release):
            _write(workspace, release, work, form)
        sums = {str(f.relative_to(work)): file_sha256(f) for f in sorted(work.rglob("*")) if f.is_file()}
        write_text(work / "SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
        os.rename(work, folder)
    except OSError as error:
        hint = "free some space, or name another folder"
        raise BackendError(f"{error.filename or folder}: {error.strerror}", hint) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {str(f.relative_to(folder)): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}


def _write(workspace: Workspace, release: Release, work: Path, form: str) -> None:
    project = settings_of(workspace, release)
    weights = workspace.store.open("weights", release.weights)
    custom = workspace.store.open("adapter", release.adapter) if release.adapter else None
    served = Path((custom or weights).path) / WEIGHTS
    if form == "adapter":
        if custom is None or not (Path(custom.path) / "adapter.gguf").is_file():
            raise ConfigError(f"{label(release)} has no LoRA adapter", "export it merged")
        shutil.copyfile(Path(weights.path) / WEIGHTS, work / "base.gguf")
        shutil.copyfile(Path(custom.path) / "adapter.gguf", work / "adapter.gguf")
        shutil.copytree(Path(custom.path) / "adapter", work / "adapter")
    else:
        shutil.copyfile(served, work / WEIGHTS)
    base = workspace.catalog.find(project.model.base, project.root)
    save_tokenizer(base, served, work / "tokenizer", own=bool(custom and custom.facts.get("banned_tokens")))
    reader = read(served)
    template = str(value(reader, "tokenizer.chat_template"))
    write_text(work / "chat_template.jinja", template)
    messages = _example(workspace, release, project)
    stop = value(reader, "tokenizer.ggml.tokens")[int(value(reader, "tokenizer.ggml.eos_token_id"))]
    banned = list(custom.facts.get("banned_tokens", ())) if custom else []
    write_text(work / "Modelfile", _modelfile(project, template, messages, str(stop), form))
    write_text(work / "serve_vllm.sh", _vllm(release, project, custom, form, workspace))
    (work / "serve_vllm.sh").chmod(0o755)
    request = {"model": release.name, "messages": [m.to_openai() for m in messages], "temperature": 0,
               "max_tokens": project.assistant.max_tokens}  # fmt: skip
    if banned:
        request["logit_bias"] = {str(token): -100 for token in banned}
    write_text(work / "request.json", json.dumps(request, indent=1, ensure_ascii=False) + "\n")
    field = reader.fields.get("general.license")
    card = _card(workspace, release, project, custom, form, field.contents() if field else "")
    write_text(work / "README.md", card)


def _example(workspace: Workspace, release: Release, project: Project) -> tuple[Message, ...]:
    """A prompt with a placeholder question, made by the code that serves."""
    question, settings = (Message(role="user", content=QUESTION),), project.assistant
    if release.index:
        index = workspace.store.open("index", release.index)
        grounding = workspace.grounding(workspace.index(index, None, project), project)
        shown = [Passage(source="", title=f"Title of document {n}", heading="Heading", text=f"Text of passage {n}.")
                 for n in (1, 2)]  # fmt: skip
        return grounding.ground(question, shown)
    if release.arm == "prompt":
        return with_examples(question, settings, few_shot_of(release))
    return ungrounded(question, settings)


# --- how to run it ----------------------------------------------------------------------------------------------


def _modelfile(project: Project, template: str, messages: Sequence[Message], stop: str, form: str) -> str:
    """Ollama's Modelfile. Ollama's templates are in Go, so only ChatML is written out; it knows other families."""
    lines = [f"FROM ./{WEIGHTS}" if form == "merged" else "FROM ./base.gguf"]
    lines += ["ADAPTER ./adapter.gguf"] * (form == "adapter")
    prefix = _before_chatml(template, messages)
    if prefix is None:
        lines.append("# The chat template is in the GGUF file; Ollama uses it if it knows the model's family.")
    else:
        lines.append(f'TEMPLATE """{prefix}{CHATML}"""')
    lines.append(f"SYSTEM {_quoted(messages[0].content)}")
    lines += [f"MESSAGE {m.role} {_quoted(m.content)}" for m in messages[1:-1]]
    lines += [
        f'PARAMETER stop "{stop}"',
        "PARAMETER temperature 0",
        f"PARAMETER num_ctx {project.model.context_tokens}",
        f"PARAMETER num_predict {project.assistant.max_tokens}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A text for a Modelfile: unchanged, or in three quotes if it has several lines."""
    if "\n" not in text and not text.startswith('"'):
        return text
    return '"""' + text.replace('"""', '"').removesuffix('"') + '"""'


def _before_chatml(template: str, messages: Sequence[Message]) -> str | None:
    """What the template puts before a conversation in ChatML; None if the template is not ChatML."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    plain = [{"role": m.role, "content": m.content} for m in messages]
    try:
        rendered = environment.from_string(template).render(messages=plain, add_generation_prompt=True)
    except TemplateError:
        return None
    chatml = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in plain) + "<|im_start|>assistant\n"
    return rendered[: -len(chatml)] if rendered.endswith(chatml) else None


def _vllm(release: Release, project: Project, custom: Artifact | None, form: str, workspace: Workspace) -> str:
    name, room = shlex.quote(release.name), project.model.context_tokens
    common = f"--chat-template ./chat_template.jinja --max-model-len {room}"
    if form == "merged":
        return (
            "#!/bin/sh\n# needs: pip install vllm vllm-gguf-plugin\n"
            f'exec vllm serve ./{WEIGHTS} --tokenizer ./tokenizer {common} --served-model-name {name} "$@"\n'
        )
    rank = workspace.store.inputs(custom)["training"]["rank"] if custom else 0
    fitting = next(n for n in (8, 16, 32, 64, 128, 256, 320, 512) if n >= rank)  # the ranks that vLLM takes
    return (
        "#!/bin/sh\n# needs: pip install vllm; the first argument is the base model's Hugging Face id or folder\n"
        "base=${1:?missing base model, as in: ./serve_vllm.sh owner/name}; shift\n"
        f'exec vllm serve "$base" --enable-lora --max-lora-rank {fitting} --lora-modules {name}=./adapter '
        f'{common} "$@"\n'
    )


# --- the card ---------------------------------------------------------------------------------------------------

CARD = """---
{license}tags: [gguf, inhouse]
---

# {label}

A model for {project}. Base model: {base}; {made}.
Released on {released} from verdict {report}, arm `{arm}`.

## The verdict

{questions} held-out questions, each arm asked through the serving engine. {sentence}

{table}

{rules}

## Run it

`request.json` is a complete request with the prompt that was measured.

```sh
{commands}
```

## What is not included

- The rest of `inhouse serve`: guardrails, citations, hand-off to a person, the audit log and access groups.
{lacks}- Other uses: the model was measured only on questions like those above.

`sha256sum -c SHA256SUMS` checks the files.
"""
WITHOUT_DOCUMENTS = """- The documents: the model was measured with passages retrieved for each question, in the
  prompt as in `request.json`. Without them, expect the results of an arm without retrieval.
"""
LEARNED_PROMPT = """- Unrestricted sampling: the learned prompt is made of tokens that must never be sampled. The
  `logit_bias` in `request.json` prevents it.
"""


def _card(
    workspace: Workspace, release: Release, project: Project, custom: Artifact | None, form: str, license_id: str
) -> str:
    """The model card, README.md: what it is, what was measured, how to run it, what is not there."""
    report = Report.read(_report(workspace, release))
    advice = report.recommendation or Recommendation(arm="", sentence="")
    rules = [*(rule.text for rule in release.gate), *(f"warning: {w}" for w in advice.warnings)]
    lacks = WITHOUT_DOCUMENTS if release.index else ""
    if custom and custom.facts.get("banned_tokens"):
        lacks += LEARNED_PROMPT
    return CARD.format(
        license=f"license: {license_id}\n" if license_id else "",
        label=label(release),
        project=project.name,
        base=project.model.base + (f" ({license_id})" if license_id else ""),
        made=_made(custom),
        released=release.made_at[:10],
        report=release.report,
        arm=release.arm,
        questions=report.questions,
        sentence=advice.sentence,
        table="\n".join(_verdict(report, release.arm)),
        rules="\n".join(f"- {text}" for text in rules),
        commands="\n".join(_commands(release, project, form)),
        lacks=lacks,
    )


def _report(workspace: Workspace, release: Release) -> Path:
    try:
        return Path(workspace.store.open("report", release.report).path)
    except InputError as error:
        hint = "the model card needs it: restore the folder, or run `inhouse evaluate` to recreate it"
        raise InputError(f"release {label(release)}: its verdict is gone ({error})", hint) from error


def _made(custom: Artifact | None) -> str:
    if custom is None:
        return "its weights are unchanged"
    facts = TrainingFacts.of(custom.facts)
    steps = f"{facts.steps} step{'s' * (facts.steps != 1)}"
    return f"fine-tuned with {facts.method} on {facts.examples} examples in {steps}"


def _verdict(report: Report, arm: str) -> list[str]:
    """Markdown table of the arms: accuracy, its gain over base, unsupported statements, time."""
    rows = ["| arm | accuracy | gain over base [95%] | unsupported | p50 ms |", "|---|---|---|---|---|"]
    for name, row in report.arms.items():
        over, unsupported = report.gain(name, "accuracy"), row.metrics.get("unsupported")
        cells = [
            f"**{name}**" if name == arm else name,
            f"{100 * row.metrics['accuracy'].mean:.1f}",
            points(over) if over else "",
            f"{100 * unsupported.mean:.1f}" if unsupported else "",
            f"{row.latency_ms.p50:.0f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    if (general := report.general) and general.tuned is not None and arm.startswith("tuned"):
        before, after = 100 * general.base, 100 * general.tuned
        rows += ["", f"General ability: {before:.0f}% before fine-tuning, {after:.0f}% after."]
    return rows


def _commands(release: Release, project: Project, form: str) -> list[str]:
    engine = f"-m {WEIGHTS}" if form == "merged" else "-m base.gguf --lora adapter.gguf"
    base = "" if form == "merged" else " OWNER/NAME"
    return [
        f"ollama create {release.name} -f Modelfile && ollama run {release.name}",
        f"./serve_vllm.sh{base}",
        f"llama-server {engine} --jinja -c {project.model.context_tokens} --port 8080",
        "curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' -d @request.json",
    ]
