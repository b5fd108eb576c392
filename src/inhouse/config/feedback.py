"""The keys of inhouse.toml for learning from feedback: the arms tuned+feedback and tuned+feedback+rag."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inhouse.config.section import Section


class Feedback(Section):
    use: tuple[Literal["corrections", "thumbs", "preferences"], ...] = ("corrections", "thumbs", "preferences")
    """What is learned from: approved replies of the inbox beside the answer that they correct, thumbs of users, and the
    files under `preferences`."""
    preferences: tuple[str, ...] = ()
    """Files of rows with a preferred and a rejected answer, as `inhouse import openai` writes them, or of rows with a
    `prompt`, a `completion`, and a `label` (true for a wanted answer)."""
    methods: tuple[Literal["dpo", "kto"], ...] = ("dpo", "kto")
    """What is tried after fine-tuning on corrections: `dpo` learns from pairs, `kto` from single answers that were
    wanted or not. What does not beat the corrections alone on held-out questions is not used."""
    beta: float = Field(0.5, gt=0)
    """How strongly the model is kept near the one that it starts from; small models need 0.5 to 1, larger ones less."""
    length_control: bool = True
    """Let every answer count as if it had the mean length, so that the model does not learn to be short or long."""
    anchor: float = Field(0.2, ge=0)
    """Weight of the plain loss of wanted answers beside the preference loss, which keeps them likely; 0 for none."""
    learning_rate: float = Field(0, ge=0)
    """Peak learning rate of dpo and kto; 0 means a fifth of that of [training]. Corrections are learned at two fifths
    of it."""
    epochs: float = Field(3, gt=0)
    """Maximum passes over corrections, and over pairs or single answers."""
    replay: float = Field(2, ge=0)
    """Examples of the training set that are learned again beside each correction, against forgetting."""
    held_out: float = Field(0.2, gt=0, lt=0.9)
    """Share of the feedback that is not learned from, and decides which method is used."""
    max_loss: float = Field(0.01, ge=0, lt=1)
    """Release gate: the most accuracy that questions without feedback may lose against the model before."""
    similar: float = Field(0.75, gt=0, le=1)
    """Test questions at least this similar (cosine) to one with feedback are questions that the feedback touches."""
