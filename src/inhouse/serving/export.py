"""A release's model in a folder that runs without inhouse, with its tokenizer, chat template, and model card: a GGUF
file for Ollama and llama.cpp, or a Hugging Face folder for vLLM and transformers.

The card says what is not in the folder: retrieval, guardrails and the audit log belong to the gateway.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.assembly.arms import ADAPTER, endpoint_of, with_examples
from inhouse.assembly.workspace import Workspace
from inhouse.config.scratch import FROM_SCRATCH
from inhouse.config.sections import Project
from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.files import file_sha256, write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.models.vllm import rank_of
from inhouse.retrieval.grounded import ungrounded
from inhouse.serving.open import few_shot_of, settings_of, verified
from inhouse.serving.releases import label
from inhouse.training.convert import save_tokenizer
from inhouse.training.gguf import read, value
from inhouse.types import Artifact, Message, Passage, Release
from inhouse.verdict import Recommendation, Report, TrainingFacts, points

FORMS = ("merged", "adapter")
FORMATS = ("gguf", "hf")
CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
QUESTION = "Your question."


def export(
    workspace: Workspace, release: Release, folder: Path, form: str = "merged", format: str = "gguf"
) -> dict[str, int]:
    """Writes the folder, whole or not at all; returns its files with their sizes in bytes.

    Args:
        workspace: whose store holds the release's artifacts.
        release: what is exported.
        folder: a new or empty one.
        form: "merged", or "adapter" for the base with the LoRA adapter beside it.
        format: "gguf", or "hf" for safetensors in bfloat16.

    Raises:
        ConfigError: the folder is not empty, or the release has no adapter.
        InputError: an artifact of the release is gone.
        BackendError: the disk is full, or the folder cannot be written.
    """
    if form not in FORMS:
        raise ConfigError(f"{form}: not an export form", f"choose one of: {', '.join(FORMS)}")
    if format not in FORMATS:
        raise ConfigError(f"{format}: not an export format", f"choose one of: {', '.join(FORMATS)}")
    if release.cascade:
        what = f"release {label(release)} is a cascade of several models, which no other program runs"
        raise ConfigError(what, "export a release of one arm")
    if release.experts:
        what = f"release {label(release)} has several adapters and a router, which no other program runs"
        raise ConfigError(what, "export a release of one model")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: not empty", "name a new folder; export does not overwrite files")
    work = folder.resolve().with_name(f".{folder.resolve().name}.partial")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        with verified(workspace, release):
            _write(workspace, release, work, form, format)
        sums = {str(f.relative_to(work)): file_sha256(f) for f in sorted(work.rglob("*")) if f.is_file()}
        write_text(work / "SHA256SUMS", "".join(f"{digest}  {name}\n" for name, digest in sums.items()))
        os.rename(work, folder)
    except OSError as error:
        hint = "free some space, or name another folder"
        raise BackendError(f"{error.filename or folder}: {error.strerror}", hint) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {str(f.relative_to(folder)): f.stat().st_size for f in sorted(folder.rglob("*")) if f.is_file()}


@dataclass(frozen=True)
class _Exported:
    """What is exported, and how."""

    workspace: Workspace
    release: Release
    project: Project
    weights: Artifact
    custom: Artifact | None
    form: str
    format: str

    @property
    def served(self) -> Path:
        """The GGUF file of the release."""
        return Path((self.custom or self.weights).path) / WEIGHTS

    @property
    def base(self) -> Path:
        if self.project.model.base == FROM_SCRATCH:
            return Path(self.workspace.store.open("scratch", self.weights.parents[0]).path) / "base"
        return self.workspace.catalog.find(self.project.model.base, self.project.root)

    @property
    def banned(self) -> list[int]:
        return list(self.custom.facts.get("banned_tokens", ())) if self.custom else []


def _write(workspace: Workspace, release: Release, work: Path, form: str, format: str) -> None:
    weights = workspace.store.open("weights", release.weights)
    kind = next((k for k in ("feedback", "pretrained_adapter", "pretrained") if getattr(release, k)), "adapter")
    custom = workspace.store.open(kind, key) if (key := getattr(release, kind)) else None
    if custom and endpoint_of(custom):
        what = f"{label(release)} answers at the endpoint that trained it, and nobody here has its weights"
        raise ConfigError(what, "train where the weights come back, or release an arm of the base")
    out = _Exported(workspace, release, settings_of(workspace, release), weights, custom, form, format)
    if form == "adapter" and (custom is None or not (Path(custom.path) / "adapter.gguf").is_file()):
        raise ConfigError(f"{label(release)} has no LoRA adapter", "export it merged")
    reader, messages = read(out.served), _example(workspace, release, out.project)
    template = str(value(reader, "tokenizer.chat_template"))
    if format == "hf":
        _hugging_face(out, work)
    else:
        _gguf(out, work)
        stop = value(reader, "tokenizer.ggml.tokens")[int(value(reader, "tokenizer.ggml.eos_token_id"))]
        write_text(work / "Modelfile", _modelfile(out.project, template, messages, str(stop), form))
    write_text(work / "chat_template.jinja", template)
    write_text(work / "serve_vllm.sh", _vllm(out))
    (work / "serve_vllm.sh").chmod(0o755)
    request = {"model": release.name, "messages": [m.to_openai() for m in messages], "temperature": 0,
               "max_tokens": out.project.assistant.max_tokens}  # fmt: skip
    if out.banned:
        request["logit_bias"] = {str(token): -100 for token in out.banned}
    write_text(work / "request.json", json.dumps(request, indent=1, ensure_ascii=False) + "\n")
    field = reader.fields.get("general.license")
    write_text(work / "README.md", _card(out, field.contents() if field else ""))


def _gguf(out: _Exported, work: Path) -> None:
    """Weights as llama.cpp and Ollama read them, and the tokenizer."""
    if out.form == "adapter" and out.custom:
        shutil.copyfile(Path(out.weights.path) / WEIGHTS, work / "base.gguf")
        shutil.copyfile(Path(out.custom.path) / "adapter.gguf", work / "adapter.gguf")
        shutil.copytree(Path(out.custom.path) / ADAPTER, work / ADAPTER)
    else:
        shutil.copyfile(out.served, work / WEIGHTS)
    save_tokenizer(out.base, out.served, work / "tokenizer", own=bool(out.banned))


def _hugging_face(out: _Exported, work: Path) -> None:
    """Weights as vLLM and transformers read them, in bfloat16.

    Raises:
        ConfigError: the custom model is a learned prompt, whose tokens only a GGUF file has.
    """
    from inhouse.training.folder import write_folder

    trained = Path(out.custom.path) if out.custom else None
    if out.banned:
        raise ConfigError(f"{label(out.release)} is a learned prompt", "export it with --format gguf")
    if trained and (trained / "weights").is_dir():
        write_folder(trained / "weights", work)
    elif trained and out.form == "adapter":
        write_folder(out.base, work)
        shutil.copytree(trained / ADAPTER, work / ADAPTER)
    else:
        write_folder(out.base, work, trained / ADAPTER if trained else None)


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


def _vllm(out: _Exported) -> str:
    name, room = shlex.quote(out.release.name), out.project.model.context_tokens
    common = f"--chat-template ./chat_template.jinja --max-model-len {room}"
    adapter = ""
    if out.form == "adapter" and out.custom:
        rank = rank_of(Path(out.custom.path) / ADAPTER)
        adapter = f" --enable-lora --max-lora-rank {rank} --lora-modules {name}=./{ADAPTER}"
    if out.format == "hf":
        served = "" if adapter else f" --served-model-name {name}"
        return f'#!/bin/sh\n# needs: pip install vllm\nexec vllm serve .{adapter or served} {common} "$@"\n'
    if not adapter:
        return (
            "#!/bin/sh\n# needs: pip install vllm vllm-gguf-plugin; `--format hf` needs no plugin\n"
            f'exec vllm serve ./{WEIGHTS} --tokenizer ./tokenizer {common} --served-model-name {name} "$@"\n'
        )
    return (
        "#!/bin/sh\n# needs: pip install vllm; the first argument is the base model's Hugging Face id or folder\n"
        "base=${1:?missing base model, as in: ./serve_vllm.sh owner/name}; shift\n"
        f'exec vllm serve "$base"{adapter} {common} "$@"\n'
    )


# --- the card ---------------------------------------------------------------------------------------------------

CARD = """---
{license}tags: [{format}, inhouse]
---

# {label}

A model for {project}. Base model: {base}; {made}.
Released on {released} from verdict {report}, arm `{arm}`.

## The verdict

{questions} held-out questions, each arm asked through the serving engine{engine}. {sentence}

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


def _card(out: _Exported, license_id: str) -> str:
    """The model card, README.md: what it is, what was measured, how to run it, what is not there."""
    workspace, release, project, custom = out.workspace, out.release, out.project, out.custom
    report = Report.read(_report(workspace, release))
    advice = report.recommendation or Recommendation(arm="", sentence="")
    rules = [*(rule.text for rule in release.gate), *(f"warning: {w}" for w in advice.warnings)]
    lacks = WITHOUT_DOCUMENTS if release.index else ""
    if out.banned:
        lacks += LEARNED_PROMPT
    return CARD.format(
        license=f"license: {license_id}\n" if license_id else "",
        format="safetensors" if out.format == "hf" else "gguf",
        engine=f" ({release.engine})" if release.engine else "",
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
        commands="\n".join(_commands(out)),
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


def _commands(out: _Exported) -> list[str]:
    name, room = out.release.name, out.project.model.context_tokens
    ask = "curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' -d @request.json"
    if out.format == "hf":
        return ["./serve_vllm.sh --port 8080", ask]
    engine = f"-m {WEIGHTS}" if out.form == "merged" else "-m base.gguf --lora adapter.gguf"
    base = "" if out.form == "merged" else " OWNER/NAME"
    return [
        f"ollama create {name} -f Modelfile && ollama run {name}",
        f"./serve_vllm.sh{base}",
        f"llama-server {engine} --jinja -c {room} --port 8080",
        ask,
    ]
