"""The loss of a fine-tune: cross-entropy of the answers' tokens.

Logits are computed only where there are labels: the vocabulary is most of a small model's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inhouse.training.data import Tokens

if TYPE_CHECKING:
    import torch

MICRO_TOKENS = 1024  # padded tokens that go through the model at once
WIDTH_TOKENS = 64  # rows are padded to multiples of this: repeated sizes do not fragment the memory


class AnswerLoss:
    """Summed cross-entropy of the answers of rows under a model, with or without PEFT."""

    def __init__(self, model: Any, method: str) -> None:
        self.model = model
        self.prompted = method == "prompt_tuning"
        self.inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.body = self.inner.get_decoder() if hasattr(self.inner, "get_decoder") else self.inner.base_model
        self.device = next(model.parameters()).device

    def __call__(self, rows: Sequence[Tokens], autocast: bool) -> torch.Tensor:
        """The sum over all answer tokens of the rows, a scalar; `autocast` multiplies in bf16."""
        import torch

        logits, labels, _ = self._logits(rows, autocast)
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")

    def logprobs(self, rows: Sequence[Tokens], autocast: bool) -> torch.Tensor:
        """The log-probability of each row's answer given its prompt, in nats (rows,)."""
        import torch

        logits, labels, owner = self._logits(rows, autocast)
        each = -torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        return each.new_zeros(len(rows)).index_add(0, owner, each)

    def _logits(self, rows: Sequence[Tokens], autocast: bool) -> tuple[Any, Any, Any]:
        """Logits of the answers' tokens (labels, vocabulary) in float32, the tokens, and the row of each."""
        import torch

        ids, places, labels = _padded(rows, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            logits = self.inner.get_output_embeddings()(self._hidden(ids)[places[0], places[1]])
        return logits.float(), labels, places[0]

    def _hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """Last hidden states (rows, tokens, width).

        There is no mask: padding is to the right of the answer, where causal attention does not look, and purely
        causal attention is faster.
        """
        import torch

        if not self.prompted:
            return self.body(input_ids=ids, use_cache=False).last_hidden_state
        prompts = self.model.get_prompt(batch_size=ids.shape[0])
        inputs = torch.cat([prompts, self.inner.get_input_embeddings()(ids)], dim=1)
        return self.body(inputs_embeds=inputs, use_cache=False).last_hidden_state[:, prompts.shape[1] :]


def micro(batch: Sequence[Tokens]) -> list[list[Tokens]]:
    """The batch in pieces that fit into memory, longest first."""
    pieces: list[list[Tokens]] = []
    for row in sorted(batch, key=lambda t: -len(t.ids)):
        if pieces and len(pieces[-1][0].ids) * (len(pieces[-1]) + 1) <= MICRO_TOKENS:
            pieces[-1].append(row)
        else:
            pieces.append([row])
    return pieces


def _padded(rows: Sequence[Tokens], device: Any) -> tuple[Any, Any, Any]:
    """Ids (rows, tokens), right-padded; places (2, labels) before each answer token; labels."""
    import torch

    width = -(-max(len(r.ids) for r in rows) // WIDTH_TOKENS) * WIDTH_TOKENS
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    places: list[tuple[int, int]] = []
    labels: list[int] = []
    for n, row in enumerate(rows):
        ids[n, : len(row.ids)] = torch.tensor(row.ids)
        start = len(row.ids) - row.answer
        places += [(n, at - 1) for at in range(start, len(row.ids))]
        labels += row.ids[start:]
    return ids.to(device), torch.tensor(places).T.to(device), torch.tensor(labels).to(device)
