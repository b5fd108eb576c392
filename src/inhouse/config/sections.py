"""inhouse.toml -> Project: every key, its unit and its default, on one page, in the order of the flow.

The docstring under a field is its help text: `inhouse check --explain SECTION` and docs/reference.md print it.
Keys that are not here are refused with the nearest name. Secrets are never values: a key ending in `_env` holds the
name of an environment variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AccessRule(Section):
    folder: str
    """Folder below the documents folder; the rule holds for everything in it. The deepest rule wins."""
    groups: tuple[str, ...]
    """Groups that may read these documents. Nobody else is shown them, in search, answers or citations."""


class Documents(Section):
    path: str = "documents"
    """Folder with the documents (md, txt, html, pdf, docx, pptx, xlsx, csv, eml), read with its sub-folders."""
    max_file_mb: float = Field(64, gt=0)
    """Larger files are reported as failed and left out. Megabytes."""
    near_duplicate: float = Field(0.9, gt=0, le=1)
    """Documents whose word 5-grams overlap at least this much (Jaccard) count as one; 1 keeps all but exact copies."""
    access: tuple[AccessRule, ...] = ()
    """Who may read what: one [[documents.access]] table a folder."""


class Retrieval(Section):
    embedder: str = "minilm-l6-v2"
    """Embedding model: a name from `inhouse models list`, or a folder with model.onnx and tokenizer.json."""
    chunk_tokens: int = Field(160, ge=32, le=512)
    """Longest chunk, in tokens of the embedder."""
    passages: int = Field(4, ge=1, le=20)
    """How many passages go into a prompt."""
    passage_tokens: int = Field(360, ge=64)
    """Most tokens that all passages of a prompt take together, in tokens of the embedder."""


class Curation(Section):
    conversations: tuple[str, ...] = ("conversations.jsonl",)
    """Logs of past conversations: OpenAI `messages` JSONL, ShareGPT JSON or JSONL, or CSV with question,answer."""
    tests: tuple[str, ...] = ()
    """Your own test questions with checks (JSONL). Without them a share of the conversations is held out."""
    where: dict[str, Any] = {}
    """Take only rows of conversations and tests with these values, such as { resolved = true }."""
    anonymize: bool = True
    """Replace personal data by typed placeholders before anything is written."""
    names_to_keep: tuple[str, ...] = ()
    """Words that are never personal data: your own brand, products, places."""
    synthesize: bool = True
    """Make instruction pairs from the documents' own structure (FAQ entries, headings with their sections)."""
    duplicate: float = Field(0.95, gt=0, le=1)
    """Questions at least this similar (cosine) with like answers count as one; 1 keeps all but exact copies."""
    leak: float = Field(0.95, gt=0, le=1)
    """Training questions at least this similar (cosine) to a test question are removed from training."""
    min_answer_words: int = Field(3, ge=1)
    """Shorter replies are not trained on, unless they are JSON."""
    max_answer_words: int = Field(220, ge=10)
    """Longer replies are not trained on."""
    validation_share: float = Field(0.15, gt=0, lt=0.5)
    """Share of the groups held out to stop training in time and to tune retrieval."""
    test_share: float = Field(0.2, gt=0, lt=0.5)
    """Share of the groups held out as the test when you bring no test file."""
    split_by: Literal["group", "time"] = "group"
    """`time` takes the latest groups as validation and test, by each row's `time` or `created_at`."""


class Assistant(Section):
    instructions: str = "You answer customers' questions. Use only the facts given. Be brief and friendly."
    """What the model is told before every conversation (the system prompt)."""
    handoff: str = "I do not have that information, so I am passing you to a colleague who can help."
    """What the assistant says when the documents do not hold the answer."""
    history_messages: int = Field(6, ge=0)
    """How many earlier messages of a conversation go into the prompt."""
    max_tokens: int = Field(128, ge=8)
    """Longest answer, in tokens."""


class Model(Section):
    base: str = "smollm2-135m-instruct"
    """Base model: a name from `inhouse models list`, a Hugging Face folder or id, or a .gguf file."""
    quantization: Literal["q8_0", "q4_0", "f16", "as_is"] = "q8_0"
    """Weights as served. `as_is` serves a .gguf unchanged."""
    context_tokens: int = Field(2048, ge=256)
    """Room for one conversation with its passages and answer, in tokens."""
    parallel: int = Field(4, ge=1, le=64)
    """Conversations answered at the same time."""
    threads: int = Field(0, ge=0)
    """Processor threads; 0 takes every core."""


class Training(Section):
    method: Literal["lora", "full", "prompt_tuning"] = "lora"
    """LoRA on all linear layers, all weights, or a learned soft prompt."""
    rank: int = Field(16, ge=1, le=256)
    """LoRA rank."""
    alpha: int = Field(32, ge=1)
    """LoRA alpha; the update is scaled by alpha / rank."""
    prompt_tokens: int = Field(16, ge=1, le=256)
    """Virtual tokens of prompt tuning."""
    learning_rate: float = Field(0, ge=0)
    """Peak learning rate; 0 takes 5e-4 for lora, 5e-5 for full, 1e-2 for prompt_tuning."""
    epochs: float = Field(3, gt=0)
    """Passes over the training set; training stops earlier when validation loss rises."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` tries both and takes the faster; name one where a run must be repeatable to the bit."""
    batch_size: int = Field(8, ge=1)
    """Examples per optimizer step."""
    processes: int = Field(0, ge=0)
    """How many processes share every batch; 0 takes one per GPU, and one where there is none."""
    max_examples: int = Field(0, ge=0)
    """Most training examples, human ones first; 0 takes all."""
    max_prompt_tokens: int = Field(640, ge=64)
    """Longer prompts lose passages, then history."""
    max_minutes: float = Field(0, ge=0)
    """Time budget, validation included; 0 is none. The learning rate is planned to end with it."""
    closed_book: float = Field(0.1, ge=0, le=1)
    """Share of examples trained without passages, so that the model also answers alone."""
    without_answer: float = Field(0.06, ge=0, lt=1)
    """Share of examples that lose the passages with the answer; their target is the hand-off sentence. Fewer where many
    answers are put in other words than the documents', since what else holds them cannot be told."""
    patience: int = Field(2, ge=1)
    """Evaluations without a better validation loss before training stops."""


class Evaluation(Section):
    arms: tuple[Literal["base", "prompt", "rag", "tuned", "tuned+rag", "oracle"], ...] = (
        "base", "prompt", "rag", "tuned", "tuned+rag", "oracle",
    )  # fmt: skip
    """What is compared, on the same questions."""
    max_questions: int = Field(0, ge=0)
    """Most test questions, drawn with the seed; 0 takes all."""
    few_shot: int = Field(3, ge=0, le=16)
    """Training examples shown in the `prompt` arm."""
    timeout_s: float = Field(120, gt=0)
    """An answer that takes longer counts as failed. Seconds."""
    usd_per_hour: float = Field(0.10, ge=0)
    """What the machine costs, for cost per 1,000 answers."""
    smallest_gain: float = Field(0.02, ge=0, le=1)
    """A gain whose interval starts below this is not recommended for."""


class Parity(Section):
    prompts: int = Field(8, ge=1)
    """How many test prompts are compared."""
    max_divergence_nats: float = Field(0.15, gt=0)
    """Largest mean KL divergence of next-token distributions between the trained and a served model."""
    min_greedy_agreement: float = Field(0.8, ge=0, le=1)
    """Smallest share of greedy next tokens that agree along the trained model's own answers."""


class Endpoint(Section):
    url: str = ""
    """Base URL of an OpenAI-compatible endpoint, such as http://127.0.0.1:8001/v1; empty switches it off."""
    model: str = ""
    """Model name at that endpoint."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key."""
    timeout_s: float = Field(60, gt=0)
    """Longest wait for one answer. Seconds."""


class Teacher(Endpoint):
    questions_per_chunk: int = Field(2, ge=1, le=10)
    """Question-answer pairs asked for per chunk of the documents."""


class Judge(Endpoint):
    labels: str = ""
    """JSONL of human labels ({"question","reference","answer","label": 0 or 1}) that the judge is checked against."""


class Release(Section):
    name: str = ""
    """Name of the releases, such as support-bot; empty makes one of the project's name."""
    arm: Literal["", "prompt", "rag", "tuned", "tuned+rag"] = ""
    """The arm that is released; empty takes the one that the verdict recommends."""
    smallest_gain: float = Field(0.02, ge=0, le=1)
    """The gate: the interval of the gain in accuracy over base must start above this."""
    no_worse: tuple[
        Literal["accuracy", "facts", "format", "exact", "rouge_l", "similarity", "unsupported", "hallucinated", "tone",
                "judged"], ...,
    ] = ("unsupported",)  # fmt: skip
    """The gate: metrics of the verdict that may not be worse than base, that is, with the whole interval of the
    difference on the worse side. A metric that was not measured does not pass."""


class Experiment(Section):
    name: str = ""
    """Name of the live experiment; another name deals the users anew. `inhouse experiment start` begins it."""
    arms: dict[str, float] = {}
    """Weights by release, such as { "base" = 1, "production" = 1 } or { "support-bot/2" = 9, "support-bot/3" = 1 }. The
    first is the one that the others are compared with."""
    metric: Literal["resolved", "thumb", "escalated", "latency", "cost"] = "resolved"
    """The outcome that decides. The others are shown and decide nothing."""


class Storage(Section):
    path: str = ".inhouse"
    """Folder for everything that inhouse makes."""
    url: str = ""
    """Database of audit, keys, feedback and inbox, such as postgresql+psycopg://user@host/name; empty keeps it in a
    SQLite file in the folder. A password belongs into the variable that url_env names."""
    url_env: str = ""
    """Name of the environment variable that holds the URL instead."""


class Oidc(Section):
    issuer: str = ""
    """OpenID Connect provider that people sign in to the console with, such as https://login.example.com; empty leaves
    API keys alone."""
    name: str = "single sign-on"
    """What the console's button calls it."""
    client_id: str = ""
    """This gateway's id at the provider; its redirect URL there is https://HOST/console/oidc/callback."""
    client_secret_env: str = ""
    """Name of the environment variable that holds the client's secret; empty for a public client."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """What the provider is asked to tell."""
    groups_claim: str = "groups"
    """Claim of the ID token with the access groups of whoever signs in."""
    role_claim: str = "groups"
    """Claim that the next two keys look into."""
    admins: tuple[str, ...] = ()
    """Values of the role claim that make an admin."""
    reviewers: tuple[str, ...] = ()
    """Values of the role claim that make a reviewer; everyone else is a user, who sees the playground alone."""


class Gateway(Section):
    host: str = "127.0.0.1"
    """Address that `inhouse serve` listens at; the default is reached from this machine alone."""
    port: int = Field(8000, ge=0, le=65535)
    """Port; 0 takes a free one."""
    workers: int = Field(1, ge=1, le=64)
    """Processes that answer; each holds an engine and an index of its own in memory."""
    parallel: int = Field(0, ge=0)
    """Requests at the engine at the same time, per worker; 0 takes model.parallel."""
    waiting: int = Field(64, ge=0)
    """Requests that wait for the engine, per worker; further ones are told to come again (429)."""
    deadline_s: float = Field(120, gt=0)
    """Longest time for one answer, waiting included. Seconds."""
    drain_s: float = Field(30, ge=0)
    """Longest wait for running answers when the server is asked to stop. Seconds."""
    max_tokens: int = Field(1024, ge=1)
    """Longest answer that a request may ask for, in tokens; assistant.max_tokens is what it gets without asking."""
    max_body_kb: int = Field(1024, ge=1)
    """Larger request bodies are refused (413). Kilobytes."""
    body_s: float = Field(15, gt=0)
    """A request whose head or body takes longer to come is refused (408). Seconds."""
    max_wait_s: float = Field(60, gt=0)
    """Longest wait for a person's answer in one request to /v1/handoffs. Seconds."""
    metrics_on_loopback: bool = False
    """Let programs on this machine read /metrics without an admin key."""
    traces_url: str = ""
    """OpenTelemetry endpoint that traces are sent to, such as http://127.0.0.1:4318; empty takes
    OTEL_EXPORTER_OTLP_ENDPOINT, and without that nothing is sent."""
    oidc: Oidc = Oidc()


class Upstream(Endpoint):
    name: str = ""
    """What requests call this model; needed, as is `url`."""
    fallback: tuple[str, ...] = ()
    """Models that answer in this order when it cannot: names of other upstreams, `custom` or `base`."""


class Guardrails(Section):
    rails: tuple[str, ...] = ("pii", "injection", "toxicity", "format", "groundedness")
    """What is checked, in the order in which changes are made: pii, injection, toxicity, topic, format, groundedness,
    confidence (after `inhouse calibrate`), nemo, and names of your own under the entry point group inhouse.rails."""
    actions: dict[str, Literal["off", "flag", "redact", "rewrite", "block", "handoff"]] = {}
    """What is done about a finding, by RAIL.SIDE, such as { "toxicity.input" = "handoff" }; sides are input, passages,
    output (each sentence) and answer (the whole, held back until its end). `inhouse guard show` prints all of them."""
    fail_open: tuple[str, ...] = ()
    """Rails that let text pass when they fail or take too long; with all others it goes to a person."""
    timeout_ms: float = Field(10_000, gt=0)
    """Longest time of one rail for one text. Milliseconds."""
    refusal: str = "I am sorry, I cannot help with that."
    """What is said when something is blocked."""
    pii_kinds: tuple[str, ...] = ()
    """Kinds of personal data to look for, such as EMAIL or PERSON; empty takes all but places and companies."""
    topics_allowed: tuple[str, ...] = ()
    """Example sentences of topics that are allowed beside those of your documents and conversations."""
    topics_forbidden: tuple[str, ...] = ()
    """Example sentences of topics that are not answered."""
    answer_pattern: str = ""
    """Regular expression that a whole answer must match; empty for none."""
    min_support: float = Field(0.4, ge=0, lt=1)
    """The rail groundedness cuts sentences that the documents support with a smaller probability. A higher value cuts
    more, right sentences too; `inhouse calibrate` says which value costs one right answer in twenty. 0.1 suits answers
    that summarize opinions in their own words."""
    max_wrong: float = Field(0.05, gt=0, lt=1)
    """The promise of the confidence rail: at most this share of the answers given is wrong, with 95 % confidence."""
    second_sample_tokens: int = Field(0, ge=0, le=256)
    """Length of a second answer, drawn at a temperature, which the confidence rail compares with the first; 0 for none.
    It takes the time of so many tokens. After a change `inhouse calibrate` anew. Tokens."""
    nemo_path: str = ""
    """Folder with a NeMo Guardrails configuration, for the rail nemo."""


class Project(Section):
    """The whole project file."""

    name: str = "my-project"
    """Name of the project, shown in reports."""
    size: Literal["small", "medium", "large"] = "small"
    """How much work to put in; sets defaults for the keys in SIZES. Keys that you set win."""
    seed: int = 7
    """Seed of every random choice."""
    store: Storage = Storage()
    documents: Documents = Documents()
    retrieval: Retrieval = Retrieval()
    curation: Curation = Curation()
    assistant: Assistant = Assistant()
    model: Model = Model()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    parity: Parity = Parity()
    teacher: Teacher = Teacher()
    judge: Judge = Judge()
    gateway: Gateway = Gateway()
    upstream: tuple[Upstream, ...] = ()
    """OpenAI-compatible servers that requests may ask by name: one [[upstream]] table each."""
    guardrails: Guardrails = Guardrails()
    release: Release = Release()
    experiment: Experiment = Experiment()

    _root: Path = Path()

    @property
    def root(self) -> Path:
        """The folder of the project file; relative paths start here."""
        return self._root

    def at(self, root: Path) -> Project:
        """The same settings with relative paths from `root`."""
        moved = self.model_copy()
        object.__setattr__(moved, "_root", root)
        return moved

    def path(self, relative: str) -> Path:
        return self._root / Path(relative).expanduser()
