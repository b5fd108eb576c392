"""The keys of inhouse.toml for a base model that is trained from scratch, where model.base = "none"."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inhouse.config.section import Section

FROM_SCRATCH = "none"  # model.base


class Scratch(Section):
    depth: int = Field(4, ge=1, le=48)
    """Size of the model, by one dial: it has this many layers and heads, and is 64 times as wide. With the default
    vocabulary, 2 is 0.6 million parameters, 4 is 4 million, 8 is 28 million, and 16 is 214 million."""
    vocabulary: int = Field(4096, ge=320, le=65536)
    """Tokens of the tokenizer (byte-level BPE), which is trained on the same text. A small text gives fewer."""
    context_tokens: int = Field(512, ge=32, le=8192)
    """Length of the pieces that are trained on. Tokens."""
    text: tuple[str, ...] = ()
    """Text to train on besides the documents: files (.txt, .md: one document each; .jsonl: one document a line, in its
    field `text`), or folders with such files."""
    tokens: int = Field(0, ge=0)
    """Tokens to train on; 0 means the compute-optimal number, 20 for each parameter."""
    minutes: float = Field(30, ge=0)
    """Time limit; 0 means none. A short probe of the machine settles how many tokens fit, and a machine that becomes
    slower gets fewer, so that the learning rate ends with the time. Minutes."""
    learning_rate: float = Field(0, ge=0)
    """Peak learning rate; 0 means 2e-3 for depth 4, and less for wider models, by the square root of the width."""
    batch_tokens: int = Field(8192, ge=32)
    """Tokens of a step. They are whole pieces of context_tokens."""
    held_out: float = Field(0.05, gt=0, lt=0.5)
    """Share of the text, in whole documents, that is not trained on; bits per byte are measured on it."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of training. `auto` tries both and uses the faster one; set one for repeatable runs."""
