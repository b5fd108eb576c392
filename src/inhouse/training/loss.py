"""The loss of a fine-tune: cross-entropy of the answers' tokens, with as little work as gives it.

Logits are computed where there are labels only: the vocabulary is most of a small model's work. Where the gradient is
to run through the answers and the prompts' last tokens alone, what stands before is read without, and what all rows of
a piece begin with (the instructions) is read once. The loss is that of the whole rows whatever is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inhouse.config.sections import Training
from inhouse.training.data import Tokens

if TYPE_CHECKING:
    import torch

MICRO_TOKENS = 1024  # padded tokens that go through the model at once
WIDTH_TOKENS = 64  # rows are padded to multiples of this: sizes that repeat leave no holes in the memory
READ_TOKENS = 8  # the same for the ends that the gradient runs through: they are short, so padding weighs more


class AnswerLoss:
    """Summed cross-entropy of rows' answers under a model, PEFT or plain."""

    def __init__(self, model: Any, settings: Training) -> None:
        self.model = model
        self.prompted = settings.method == "prompt_tuning"
        self.reach = 0 if self.prompted else settings.gradient_tokens  # a learned prompt stands before all tokens
        self.inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.body = self.inner.get_decoder() if hasattr(self.inner, "get_decoder") else self.inner.base_model
        self.device = next(model.parameters()).device

    def __call__(self, rows: Sequence[Tokens], autocast: bool) -> torch.Tensor:
        """The sum over all answer tokens of the rows, a scalar; `autocast` multiplies in bf16."""
        import torch

        read = self.read_only(rows)
        ids, places, labels = _padded(rows, READ_TOKENS if read else WIDTH_TOKENS, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            hidden = self._hidden(ids, _common(rows, read), read)
            logits = self.inner.get_output_embeddings()(hidden[places[0], places[1] - read])
        return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")

    def read_only(self, rows: Sequence[Tokens]) -> int:
        """How many first tokens of the rows the gradient does not run through: none of them is padding."""
        if not self.reach:
            return 0
        return max(0, min(len(t.ids) - t.answer for t in rows) - self.reach) // READ_TOKENS * READ_TOKENS

    def _hidden(self, ids: torch.Tensor, common: int, read: int) -> torch.Tensor:
        """Last hidden states (rows, tokens, width) of the given tokens but the first `read`.

        Those are read into the cache of keys and values, by the weights as they are, the first `common` for all rows at
        once. Without a mask: padding stands right of the answer, where causal attention does not look, and attention
        that is merely causal is faster.
        """
        import torch

        if self.prompted:
            prompts = self.model.get_prompt(batch_size=ids.shape[0])
            inputs = torch.cat([prompts, self.inner.get_input_embeddings()(ids)], dim=1)
            return self.body(inputs_embeds=inputs, use_cache=False).last_hidden_state[:, prompts.shape[1] :]
        if not read:
            return self.body(input_ids=ids, use_cache=False).last_hidden_state
        cache = None
        with torch.no_grad():
            if common:
                cache = self.body(input_ids=ids[:1, :common], use_cache=True).past_key_values
                cache.batch_repeat_interleave(len(ids))
            if common < read:
                kept = {"past_key_values": cache, "use_cache": True}
                cache = self.body(input_ids=ids[:, common:read], **kept).past_key_values
        return self.body(input_ids=ids[:, read:], past_key_values=cache, use_cache=True).last_hidden_state


def micro(batch: Sequence[Tokens]) -> list[list[Tokens]]:
    """The batch in pieces that fit into memory, longest first."""
    made: list[list[Tokens]] = []
    for row in sorted(batch, key=lambda t: -len(t.ids)):
        if made and len(made[-1][0].ids) * (len(made[-1]) + 1) <= MICRO_TOKENS:
            made[-1].append(row)
        else:
            made.append([row])
    return made


def _common(rows: Sequence[Tokens], most: int) -> int:
    """With how many same tokens, at most `most`, all of several rows begin."""
    if len(rows) == 1:
        return 0
    first, last = min(t.ids[:most] for t in rows), max(t.ids[:most] for t in rows)
    return next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), most)


def _padded(rows: Sequence[Tokens], multiple: int, device: Any) -> tuple[Any, Any, Any]:
    """Ids (rows, tokens), right-padded; places (2, labels) before each answer token; labels."""
    import torch

    width = -(-max(len(r.ids) for r in rows) // multiple) * multiple
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    places: list[tuple[int, int]] = []
    labels: list[int] = []
    for n, row in enumerate(rows):
        ids[n, : len(row.ids)] = torch.tensor(row.ids)
        start = len(row.ids) - row.answer
        places += [(n, at - 1) for at in range(start, len(row.ids))]
        labels += row.ids[start:]
    return ids.to(device), torch.tensor(places).T.to(device), torch.tensor(labels).to(device)
