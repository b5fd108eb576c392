"""Every key of inhouse.toml with its unit and default, in the order of the flow.

The docstring below a field is its help text: `inhouse check --explain SECTION` and docs/reference.md print it. Unknown
keys are refused, with the closest known name. Secrets are never values: a key ending in `_env` holds the name of an
environment variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from inhouse.config.acting import Agent, McpServer, OpenApi, Routing, ToolTable
from inhouse.config.alerts import Alerts
from inhouse.config.budgets import Budget
from inhouse.config.cascade import Cascade
from inhouse.config.costs import Costs
from inhouse.config.experts import Expert
from inhouse.config.feedback import Feedback
from inhouse.config.gateway import Edge, Gateway
from inhouse.config.pretraining import Pretraining
from inhouse.config.private import Private
from inhouse.config.quality import Quality
from inhouse.config.release import Release
from inhouse.config.scratch import Scratch
from inhouse.config.section import Section
from inhouse.config.training_backend import TrainingBackend
from inhouse.config.watch import Watch


class AccessRule(Section):
    folder: str
    """Folder inside the documents folder; the rule covers everything in it. The deepest matching rule applies."""
    groups: tuple[str, ...]
    """Groups that may read these documents. Nobody else sees them in search, answers, or citations."""
    remote: bool = False
    """Whether passages of them may be sent to an [[upstream]] that has a [[private]] table. Passages of documents
    without a rule may be."""


class Documents(Section):
    path: str = "documents"
    """Folder with your documents (office files, pdf, html, text, mail, csv, pictures), including subfolders."""
    only: tuple[str, ...] = ()
    """Patterns of paths inside the documents folder, such as ["shop/**"]: other files are not read. Empty reads all."""
    max_file_mb: float = Field(64, gt=0)
    """Files larger than this are skipped and reported as failed. Megabytes."""
    near_duplicate: float = Field(0.9, gt=0, le=1)
    """Documents whose word 5-grams overlap at least this much (Jaccard) are kept and reported as versions. Of those
    that differ in layout alone, one stays. 1 drops only exact copies and reports no versions."""
    ocr: Literal["auto", "rapidocr", "tesseract", "off"] = "auto"
    """What reads pages and pictures without text. `auto` is RapidOCR, which comes with inhouse and reads Latin script,
    Chinese and Japanese, or Tesseract where `ocr_languages` needs it; `off` leaves them out, with a note."""
    ocr_languages: tuple[str, ...] = ()
    """Languages of these pages, such as ["ru", "uk"], if RapidOCR cannot read their script. They need the program
    `tesseract` with the data of these languages."""
    external: tuple[str, ...] = ()
    """Documents that others may have written, such as web pages and mail from outside: patterns of paths inside the
    documents folder, such as ["web/**"]. Answers may rest on them, but orders in them are removed, and links,
    addresses, and payment details that only they hold are cut from answers. All other documents are trusted."""
    access: tuple[AccessRule, ...] = ()
    """Who may read which documents: one [[documents.access]] table per folder."""


class Retrieval(Section):
    embedder: str = "minilm-l6-v2"
    """Embedding model: a name from `inhouse models list`, such as "e5-small" for other languages than English, or a
    folder with model.onnx (or onnx/model.onnx) and tokenizer.json, as Hugging Face has it."""
    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    """How the embedder's states of the tokens become one vector; `auto` takes it from the folder's
    1_Pooling/config.json, or else the mean."""
    query_prefix: str = "auto"
    """Text before a question, such as "query: " for E5 models; `auto` takes it from the folder
    (config_sentence_transformers.json) or from what is known of models of its name. Empty puts nothing before it."""
    passage_prefix: str = "auto"
    """Text before a passage, such as "passage: " for E5 models; as for `query_prefix`."""
    chunk_tokens: int = Field(160, ge=32, le=512)
    """Maximum length of a chunk, in tokens of the embedder."""
    passages: int = Field(4, ge=1, le=20)
    """Maximum number of passages in a prompt."""
    passage_tokens: int = Field(360, ge=64)
    """Maximum total length of the passages in a prompt, in tokens of the embedder."""


class Curation(Section):
    conversations: tuple[str, ...] = ("conversations.jsonl",)
    """Past conversations: JSON, JSON Lines, or CSV, also gzipped, in the format of OpenAI, Azure, ShareGPT, Alpaca,
    Gemini, Bedrock, and others, with a question and an answer a row, or with one message a row. For exports of help
    desks, chats, and mail run `inhouse import` first."""
    tests: tuple[str, ...] = ()
    """Your own test questions with checks (JSONL). Without them, a share of the conversations is held out."""
    where: dict[str, Any] = {}
    """Use only the conversations and tests that have these values, such as { resolved = true }."""
    anonymize: bool = True
    """Replace personal data with typed placeholders before anything is written."""
    names_to_keep: tuple[str, ...] = ()
    """Words that are never personal data, such as your brand, products, and places."""
    synthesize: bool = True
    """Create question-answer pairs from the structure of the documents (FAQ entries, headings with their sections)."""
    most_replies: int = Field(8, ge=0)
    """Maximum number of replies of one conversation to learn from; of a longer one, the longest are taken, so that it
    does not outweigh the others. 0 takes all."""
    duplicate: float = Field(0.95, gt=0, le=1)
    """Questions at least this similar (cosine) are the same question: of two with similar answers one is dropped, and
    training questions that also occur in the test set are removed. 1 turns this off; exact copies are always found."""
    min_answer_words: int = Field(3, ge=1)
    """Shorter replies are not used for training, unless they are JSON or contain a digit. Where words are not separated
    by spaces, as in Chinese, Japanese, and Thai, characters are counted, and several make a word."""
    max_answer_words: int = Field(220, ge=10)
    """Longer replies are not used for training."""
    validation_share: float = Field(0.15, gt=0, lt=0.5)
    """Share of the data held out to decide when training stops and to choose the fusion weight of retrieval."""
    test_share: float = Field(0.2, gt=0, lt=0.5)
    """Share of the data held out as the test set if you have no test file: each informative reply of a conversation is
    a question; of rows with `sources` or `checks` only the last reply is, which these are about."""
    split_by: Literal["group", "time"] = "group"
    """How data is split. `group` is random, keeping rows of one conversation or source together; `time` takes the
    latest for validation and test, by each row's `time` or `created_at`."""


class Assistant(Section):
    instructions: str = "You answer customers' questions. Use only the facts given. Be brief and friendly."
    """System prompt of every conversation."""
    client_system: Literal["ignore", "append"] = "ignore"
    """What happens to system and developer messages that clients send to the custom model: `ignore` leaves them out and
    lists them in the answer's field `inhouse.ignored`; `append` puts them after the instructions."""
    handoff: str = "I do not have that information, so I am passing you to a colleague who can help."
    """What the assistant says when the documents do not contain the answer. The conversation then goes to the inbox."""
    calculator: bool = True
    """Do small calculations with figures from the documents, such as the price for twelve employees, and show them in
    the answer. Questions that need other calculations go to a person."""
    history_messages: int = Field(6, ge=0)
    """Maximum number of earlier messages of a conversation in the prompt."""
    max_tokens: int = Field(128, ge=8)
    """Maximum length of an answer, in tokens."""


class Replies(Section):
    """Replies to messages that are not questions. {name} is the project's name. If a text is empty, the model replies
    instead. Texts that you do not change are sent in the customer's language if it is one of 18 supported languages."""

    languages: tuple[str, ...] = ()
    """Languages that the assistant answers in, such as ["en", "de"]; empty means every language of at least a tenth of
    the documents or conversations. Questions that are clearly in another language go to a person."""
    other_language: str = (
        "I am sorry, I cannot answer in this language. I am passing you to a colleague, who will answer you here."
    )
    """Reply to a question in any other language. If empty, the model answers such questions."""
    greeting: str = "Hello! How can I help you?"
    """Reply to a greeting."""
    thanks: str = "You are welcome! Is there anything else I can do for you?"
    """Reply to thanks."""
    goodbye: str = "Goodbye, and have a nice day!"
    """Reply to a goodbye."""
    identity: str = (
        "I am the automated assistant of {name}, not a person. I answer questions, and a person can take over whenever "
        "you ask for one."
    )
    """Reply to "who are you?" and "are you a robot?"."""
    small_talk: str = "I am doing well, thank you! How can I help you?"
    """Reply to "how are you?" and similar messages."""
    complaint: str = (
        "I am sorry about the trouble. Tell me what happened and I will try to help, or ask for a person and I will "
        "pass you on."
    )
    """Reply to a complaint without a question."""
    person: str = "I am passing you to a colleague, who will answer you here."
    """Reply to a customer who asks for a person. The conversation goes to the inbox, regardless of the guardrails. If
    empty, the model and its guardrails handle such messages."""


class Model(Section):
    base: str = "smollm2-135m-instruct"
    """Base model: a name from `inhouse models list`, a Hugging Face folder or id, or a .gguf file; "none" trains one on
    the documents alone, see docs/scratch.md."""
    quantization: Literal["q8_0", "q4_0", "f16", "as_is"] = "q8_0"
    """Precision of the weights in the embedded engine; `as_is` serves a .gguf file unchanged. vLLM uses bfloat16."""
    engine: Literal["auto", "embedded", "vllm"] = "auto"
    """What runs the model, see docs/engines.md; `auto` is vLLM where it is installed and was measured to be faster."""
    engine_url: str = ""
    """URL of a vLLM server that others run; empty starts one on this machine."""
    engine_key_env: str = ""
    """Environment variable with the key of that server."""
    context_tokens: int = Field(2048, ge=256)
    """Context window of one conversation, including passages and answer, in tokens."""
    parallel: int = Field(4, ge=1, le=64)
    """Number of conversations answered at the same time."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 uses every core."""
    usd_per_hour: float = Field(0.10, ge=0)
    """Price of the machine, for the cost of answers in the verdict and in live traffic. US dollars per hour."""


class Training(TrainingBackend):
    method: Literal["lora", "full", "prompt_tuning"] = "lora"
    """What is trained: LoRA on all linear layers, all weights, or a soft prompt."""
    rank: int = Field(16, ge=1, le=256)
    """LoRA rank."""
    alpha: int = Field(32, ge=1)
    """LoRA alpha. The update is scaled by alpha / rank."""
    prompt_tokens: int = Field(16, ge=1, le=256)
    """Number of virtual tokens, for prompt_tuning."""
    learning_rate: float = Field(0, ge=0)
    """Peak learning rate; 0 means 5e-4 for lora, 5e-5 for full, and 1e-2 for prompt_tuning."""
    epochs: float = Field(3, gt=0)
    """Maximum passes over the training set. Training stops earlier if the validation loss rises."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of training. `auto` tries both and uses the faster one; set one for bit-for-bit repeatable runs."""
    batch_size: int = Field(8, ge=1)
    """Examples per optimizer step."""
    processes: int = Field(0, ge=0)
    """Number of processes that share each batch; 0 means one per GPU, or one without a GPU."""
    max_examples: int = Field(0, ge=0)
    """Maximum number of training examples, taking human ones first; 0 uses all."""
    max_prompt_tokens: int = Field(640, ge=64)
    """Maximum length of a training prompt; longer ones lose passages, then history. Tokens."""
    max_minutes: float = Field(0, ge=0)
    """Time limit, including validation; 0 means none. The learning rate schedule ends with it. Minutes."""
    closed_book: float = Field(0.1, ge=0, le=1)
    """Share of examples trained without passages, so that the model can also answer without retrieval."""
    without_answer: float = Field(0.06, ge=0, lt=1)
    """Share of examples whose passages with the answer are removed and whose target becomes the hand-off sentence. Use
    a lower value if answers often reword the documents: other passages with the answer are then hard to detect."""
    patience: int = Field(2, ge=1)
    """Number of validations without improvement after which training stops."""

    @model_validator(mode="after")
    def _can_be_sharded(self) -> Training:
        if self.sharding == "fsdp" and self.method == "prompt_tuning":
            raise ValueError('sharding = "fsdp" cannot honor method = "prompt_tuning": use lora or full')
        return self


class Evaluation(Section):
    arms: tuple[
        Literal["base", "prompt", "rag", "tuned", "tuned+rag", "tuned+feedback", "tuned+feedback+rag", "cpt", "cpt+rag",
                "cpt+tuned", "cpt+tuned+rag", "experts", "experts+rag", "cascade", "cascade+private", "oracle"], ...,
    ] = (
        "base", "prompt", "rag", "tuned", "tuned+rag", "oracle",
    )  # fmt: skip
    """What is compared on the same questions; see "Reading the verdict" in docs/guide.md. cascade+private shows what
    surrogates cost; it is not released."""
    max_questions: int = Field(0, ge=0)
    """Maximum number of test questions, a random sample; 0 uses all."""
    few_shot: int = Field(3, ge=0, le=16)
    """Number of training examples in the prompt of the `prompt` arm."""
    timeout_s: float = Field(120, gt=0)
    """An answer that takes longer counts as failed. Seconds."""
    smallest_gain: float = Field(0.02, ge=0, le=1)
    """A recommendation or a release needs an accuracy gain whose whole confidence interval is above this."""
    kinds: dict[str, float] = {}
    """Weight of each kind of question in the scores, such as { follow_up = 2, typo = 0.5 }; the default is 1. The
    report has a table by kind. To define your own kinds, set `kind` in the test files."""
    probes: int = Field(8, ge=0)
    """Maximum number of questions of each kind to generate from your tests and documents: follow-ups, typos, table
    lookups, questions without an answer, and so on; 0 for none."""
    tasks: tuple[str, ...] = ()
    """JSONL files of tasks with tools, for projects with agents; docs/agents.md describes the format. Each is tried in
    a copy of the project's folder."""
    task_arms: tuple[Literal["one-prompt", "procedure", "procedure+tuned", "router+specialists"], ...] = (
        "one-prompt", "procedure", "router+specialists",
    )  # fmt: skip
    """Who is given the tasks: one model with all tools in its prompt; one agent with all procedures; the same with an
    adapter trained to understand messages; and the agents behind the router, as they are served."""
    max_tasks: int = Field(0, ge=0)
    """Maximum number of tasks, a random sample; 0 uses all."""
    trials: int = Field(1, ge=1, le=16)
    """How often each task is tried. The report has pass^k, the probability that k tries all pass."""
    databases: tuple[str, ...] = ()
    """SQLite files in the project's folder that tools change. After a task they are compared with those that the
    expected calls alone leave."""
    fresh: bool = False
    """Begin each task without these databases, for tools that make them if they are missing."""
    ignore: tuple[str, ...] = ("*.key",)
    """Tables and columns of the databases that are not compared: TABLE, TABLE.COLUMN, or *.COLUMN."""


class Parity(Section):
    max_divergence_nats: float = Field(0.15, gt=0)
    """Maximum mean KL divergence between the next-token distributions of the trained and the served model. Nats."""
    min_greedy_agreement: float = Field(0.8, ge=0, le=1)
    """Minimum share of greedy next tokens that agree, along the answers of the trained model."""


class Endpoint(Section):
    url: str = ""
    """Base URL of an OpenAI-compatible endpoint, such as http://127.0.0.1:8001/v1; empty turns it off."""
    model: str = ""
    """Name of the model at that endpoint."""
    api_key_env: str = ""
    """Name of the environment variable with the API key."""
    timeout_s: float = Field(60, gt=0)
    """Time limit for one answer. Seconds."""


class Teacher(Endpoint):
    questions_per_chunk: int = Field(2, ge=1, le=10)
    """Number of question-answer pairs requested per section of the documents."""


class Judge(Endpoint):
    labels: str = ""
    """JSONL file of human labels ({"question","reference","answer","label": 0 or 1}) to check the judge against."""


class Experiment(Section):
    metric: Literal["resolved", "thumb", "escalated", "latency", "cost"] = "resolved"
    """The outcome that decides experiments and canaries. The others are shown but do not decide."""


class Storage(Section):
    path: str = ".inhouse"
    """Folder for everything that inhouse writes."""
    models: str = ""
    """Folder whose `models` folder has the models of this project, such as "." where they lie beside the project file;
    empty means $INHOUSE_CACHE, or else ~/.cache/inhouse."""
    url: str = ""
    """Database for audit log, API keys, feedback, and inbox, such as postgresql+psycopg://user@host/name; empty means a
    SQLite file in that folder. If the URL contains a password, use url_env."""
    url_env: str = ""
    """Name of the environment variable with the database URL; it replaces url."""


class Auditing(Section):
    """Where the head of the audit log is kept, so that `inhouse audit verify` finds a log that was rewritten whole."""

    anchor: str = ""
    """Where servers anchor the head, a place that nobody who can write the database can change: file:PATH, syslog,
    syslog:HOST:PORT (by UDP), rfc3161:URL (a time-stamp authority), or the URL of a second database. Empty for
    nowhere."""
    anchor_minutes: float = Field(60, gt=0)
    """How often a running server anchors the head. It also does so when it starts and stops. Minutes."""
    anchor_certificate: str = ""
    """PEM file with the certificates that the time-stamp authority's tokens are checked against."""


class Upstream(Endpoint):
    name: str = ""
    """Name of this model in requests. Required, as is `url`."""
    fallback: tuple[str, ...] = ()
    """Models to try, in this order, if this server fails: names of other upstreams, `custom`, or `base`."""


class Guardrails(Section):
    rails: tuple[str, ...] = (
        "pii", "links", "injection", "toxicity", "format", "relevance", "groundedness", "confidence",
    )  # fmt: skip
    """Active rails, in the order in which they change the text: pii, links, injection, toxicity, topic, format,
    relevance, groundedness, confidence, nemo, and rails that you register under the entry point group
    inhouse.rails."""
    actions: dict[str, Literal["off", "flag", "redact", "rewrite", "block", "handoff"]] = {}
    """Action per RAIL.SIDE, such as { "toxicity.input" = "handoff" }. The sides are input, passages, output (each
    sentence), and answer (the whole answer, which delays output until it is complete). `inhouse guard show` prints the
    current actions."""
    fail_open: tuple[str, ...] = ()
    """Rails that let text pass if they fail or time out. If any other rail does, the conversation goes to a person."""
    timeout_ms: float = Field(10_000, gt=0)
    """Time limit of one rail for one text. Milliseconds."""
    refusal: str = "I am sorry, I cannot help with that."
    """Reply when a rail blocks a request or an answer."""
    offer: str = "Our documents have: {titles}."
    """Added when the relevance, groundedness, or confidence rail hands a question off: titles of related documents that
    the customer may read. Omitted if there are none or if a title has personal data; an empty text turns it off."""
    links_from: tuple[str, ...] = ()
    """Sources of links, e-mail addresses, phone numbers, and payment details that answers may contain: hosts, such as
    "bank.example", and patterns of documents, such as "contact/**". Without a pattern, all trusted documents count (see
    `documents.external`). The rail `links` cuts all others, and images from other hosts."""
    pii_kinds: tuple[str, ...] = ()
    """Kinds of personal data to look for, such as EMAIL or PERSON; empty means all except places and companies."""
    topics_allowed: tuple[str, ...] = ()
    """Example sentences of allowed topics, in addition to those of your documents and conversations."""
    topics_forbidden: tuple[str, ...] = ()
    """Example sentences of topics that the assistant must not answer."""
    answer_pattern: str = ""
    """Regular expression, in RE2 syntax, that the whole answer must match; empty for none. Lookaround and
    backreferences are refused, `\\w` and `\\d` are ASCII, `\\p{L}` is any letter."""
    min_support: float = Field(0.4, ge=0, lt=1)
    """The groundedness rail cuts sentences whose probability of being supported by the passages is below this. A higher
    value cuts more, including correct sentences; `inhouse calibrate` prints the value that costs one correct answer in
    twenty. 0.1 suits answers that summarize opinions in other words."""
    max_wrong: float = Field(0.05, gt=0, lt=1)
    """Error target of the confidence rail: at most this share of the given answers is wrong, with 95% confidence."""
    min_answered: float = Field(0.7, ge=0, le=1)
    """Smallest share of the answers that the confidence rail may let through. If the error target needs fewer, the rail
    keeps the strictest target that does not, and the verdict says so; 0 keeps to max_wrong whatever it costs."""
    second_sample_tokens: int = Field(0, ge=0, le=256)
    """Length of a second, sampled answer that the confidence rail compares with the first, in tokens; 0 for none. Every
    token takes additional time."""
    toxicity_model: str = ""
    """Folder of a sequence classifier (config.json, tokenizer.json, and model.onnx or model.safetensors) that the
    toxicity rail uses instead of the shipped one; empty for the shipped one. The next two keys work the same way."""
    injection_model: str = ""
    """Folder of a jailbreak classifier for the input side of the injection rail."""
    groundedness_model: str = ""
    """Folder of an entailment classifier (premise, hypothesis) for the groundedness rail; `min_support` applies."""
    toxicity_label: str = ""
    """Name of the label that means toxic, if inhouse does not recognize it."""
    injection_label: str = ""
    """Name of the label that means jailbreak, if inhouse does not recognize it."""
    groundedness_label: str = ""
    """Name of the label that means supported, if inhouse does not recognize it."""
    toxicity_threshold: float = Field(0.5, gt=0, lt=1)
    """Minimum probability for `toxicity_model` to report a text; `inhouse guard test` prints the best."""
    injection_threshold: float = Field(0.5, gt=0, lt=1)
    """Minimum probability for `injection_model` to report a text; `inhouse guard test` prints the best."""
    nemo_path: str = ""
    """Folder with a NeMo Guardrails configuration, for the nemo rail."""


class Reuse(Section):
    """Replies that people approved in the inbox answer the same question again, before the model is asked."""

    enabled: bool = False
    """Answer with approved replies. `inhouse reuse list` shows which of them are used, and why others are not."""
    days: float = Field(90, gt=0)
    """A reply is used for this long after it was written. It ends earlier when a document behind it changes. Days."""
    similar: float = Field(0.8, gt=0, le=1)
    """Minimum similarity (cosine) of a question to the approved one. Whatever it is, they must have the same numbers,
    negations, names, and other words that matter. 1 takes only the same text."""
    per: Literal["groups", "key"] = "groups"
    """Who gets a reply: everyone in all groups of the person who asked who may read the documents behind it, or only
    the API key that asked."""


class Project(Section):
    """The whole project file."""

    name: str = "my-project"
    """Name of the project, shown in reports."""
    size: Literal["small", "medium", "large"] = "small"
    """How much to train and test: about 20 minutes, 2 hours, or half a day on two CPU cores. Sets defaults for a few
    keys; your own values take precedence."""
    seed: int = 7
    """Seed for all random choices."""
    store: Storage = Storage()
    audit: Auditing = Auditing()
    documents: Documents = Documents()
    retrieval: Retrieval = Retrieval()
    curation: Curation = Curation()
    assistant: Assistant = Assistant()
    replies: Replies = Replies()
    model: Model = Model()
    scratch: Scratch = Scratch()
    training: Training = Training()
    pretraining: Pretraining = Pretraining()
    feedback: Feedback = Feedback()
    evaluation: Evaluation = Evaluation()
    parity: Parity = Parity()
    teacher: Teacher = Teacher()
    judge: Judge = Judge()
    gateway: Gateway = Gateway()
    edge: Edge = Edge()
    upstream: tuple[Upstream, ...] = ()
    """Other OpenAI-compatible servers that requests can choose by name: one [[upstream]] table each."""
    private: tuple[Private, ...] = ()
    """What may be sent to these servers, see docs/private.md: one [[private]] table each."""
    guardrails: Guardrails = Guardrails()
    reuse: Reuse = Reuse()
    expert: tuple[Expert, ...] = ()
    """Domains with an adapter each on the same base, see docs/experts.md: one [[expert]] table each."""
    agent: tuple[Agent, ...] = ()
    """Specialists that follow procedures and call tools, see docs/agents.md: one [[agent]] table each."""
    routing: Routing = Routing()
    tool: tuple[ToolTable, ...] = ()
    """Tools that agents may call: one [[tool]] table each."""
    openapi: tuple[OpenApi, ...] = ()
    """HTTP services whose operations are tools: one [[openapi]] table each."""
    mcp: tuple[McpServer, ...] = ()
    """MCP servers whose tools agents may call: one [[mcp]] table each."""
    cascade: Cascade = Cascade()
    quality: Quality = Quality()
    costs: Costs = Costs()
    budget: tuple[Budget, ...] = ()
    """Limits in money, tokens, and requests, see docs/costs.md: one [[budget]] table each."""
    release: Release = Release()
    experiment: Experiment = Experiment()
    alerts: Alerts = Alerts()
    watch: Watch = Watch()

    _root: Path = Path()

    @property
    def root(self) -> Path:
        """The folder of the project file; paths are relative to it."""
        return self._root

    def at(self, root: Path) -> Project:
        """The same settings for a project file in `root`."""
        moved = self.model_copy()
        object.__setattr__(moved, "_root", root)
        return moved

    def path(self, relative: str) -> Path:
        return self._root / Path(relative).expanduser()
