"""The keys of inhouse.toml for continued pre-training: the arms cpt and cpt+rag."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inhouse.config.section import Section


class Pretraining(Section):
    rewrites: int = Field(5, ge=0, le=100)
    """How often each section of the documents is rewritten, beside its own text. Models learn few facts from one
    wording. 0 learns from the documents as they are."""
    method: Literal["lora", "full"] = "lora"
    """What is trained: LoRA on all linear layers, or all weights."""
    rank: int = Field(64, ge=1, le=256)
    """LoRA rank. Facts need a higher one than a style does."""
    alpha: int = Field(64, ge=1)
    """LoRA alpha. The update is scaled by alpha / rank."""
    learning_rate: float = Field(0, ge=0)
    """Peak learning rate; 0 means 2e-4 for lora, and 2e-5 for full."""
    epochs: float = Field(1, gt=0)
    """Maximum passes over all texts. Training stops earlier if the loss on held-out rewrites rises."""
    max_minutes: float = Field(0, ge=0)
    """Time limit, including validation; 0 means that of [training]. Minutes."""
    batch_tokens: int = Field(4096, ge=64)
    """Tokens per optimizer step."""
    pack_tokens: int = Field(512, ge=64)
    """Length of the sequences that texts are packed into; longer texts are cut. A text never sees its neighbors in the
    sequence. Tokens."""
    general: tuple[str, ...] = ()
    """Text files that are not about your business, one text a paragraph, in the language of your documents. They are
    mixed in against forgetting, and a part of them measures it. Empty uses the documentation of Python."""
    general_share: float = Field(0.2, ge=0, lt=0.9)
    """Share of general text in what is learned."""
    chat_share: float = Field(0.1, ge=0, lt=0.9)
    """Share of conversations in what is learned: answers of the base model to general questions, so that the model
    still knows how to chat."""
    max_general_loss: float = Field(0.01, ge=0)
    """Release gate: the most that bits per byte of general text may rise, as a share of those of the base model."""
    max_question_loss: float = Field(0.02, ge=0, lt=1)
    """Release gate: the most accuracy that general questions may lose."""
