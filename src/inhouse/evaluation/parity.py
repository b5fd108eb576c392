"""The parity gate: is the model that is served the model that was trained?

For a fixed set of prompts the trained model runs in PyTorch, and each way of serving it in the engine. It compares
the token ids of the rendered chat template, the distribution of the next token at the end of the prompt and along the
trained model's greedy answer, and the most likely tokens. Where the custom model fails, the unchanged base is compared
too, to tell which step changed it: the template, the quantization of the base, or the adapter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx

from inhouse.config.sections import Parity as Settings
from inhouse.errors import BackendError, InputError
from inhouse.types import Array, Json, Message, Progress
from inhouse.verdict import Parity, ParityVariant

PATH_TOKENS = 12  # how far along the greedy answer distributions are compared
TOP = 128  # the engine's most likely tokens; the others are taken together

Messages = tuple[Message, ...]


class Trained(Protocol):
    """The trained model in PyTorch."""

    def tokenize_chat(self, messages: Messages) -> list[int]: ...

    def greedy(self, ids: list[int], count: int) -> tuple[list[int], Array]:
        """The greedy continuation, and log-probabilities (count, vocabulary) at each of its positions."""
        ...


class Served(Protocol):
    """One way of serving it."""

    name: str

    def tokenize_chat(self, messages: Messages) -> list[int]: ...

    def next_logprobs(self, ids: list[int], top: int) -> dict[int, float]:
        """Log-probabilities of the `top` likeliest next tokens."""
        ...


def check_parity(
    trained: Mapping[str, Trained],
    served: Sequence[tuple[Served, str]],
    prompts: Sequence[Messages],
    settings: Settings,
    progress: Progress,
) -> Parity:
    """Compares every served model with its trained counterpart.

    Args:
        trained: models in PyTorch by name: "base", "custom".
        served: each with the name of its counterpart; the gate depends on those of "custom".
        prompts: what is asked.
        settings: tolerances.
        progress: advances after each prompt and model.
    """
    with progress.step("parity", len(prompts) * (len(trained) + len(served))) as step:
        paths: dict[str, list[tuple[list[int], list[int], Array]]] = {}
        for name, model in trained.items():
            paths[name] = []
            for messages in prompts:
                ids = model.tokenize_chat(messages)
                paths[name].append((ids, *model.greedy(ids, PATH_TOKENS)))
                step.advance()
        variants = [_compared(model, name, prompts, paths[name], settings, step) for model, name in served]
    return _of(Parity(passed=True, prompts=len(prompts), max_divergence_nats=settings.max_divergence_nats,
                      min_greedy_agreement=settings.min_greedy_agreement), variants)  # fmt: skip


def joined(first: Parity, second: Parity) -> Parity:
    """Two comparisons over the same prompts as one."""
    return _of(first, [*first.variants, *second.variants])


def _of(parity: Parity, variants: Sequence[ParityVariant]) -> Parity:
    """The comparison with these variants, and what follows from them."""
    passed = all(v.passed for v in variants if v.counterpart == "custom")
    return parity.model_copy(update={"variants": tuple(variants), "passed": passed, "moved": _moved(variants)})


def _compared(
    model: Served, counterpart: str, prompts: Sequence[Messages], paths: Sequence[Any], settings: Settings, step: Any
) -> ParityVariant:
    divergences: list[float] = []
    same = whole = templates = 0
    for messages, (ids, answer, logprobs) in zip(prompts, paths, strict=True):
        templates += model.tokenize_chat(messages) == ids
        agreed = []
        for at in range(len(answer)):
            served = model.next_logprobs(ids + answer[:at], TOP)
            divergences.append(divergence(logprobs[at], served))
            agreed.append(max(served, key=lambda t: served[t]) == answer[at])
        same += sum(agreed)
        whole += all(agreed)
        step.advance()
    mean = sum(divergences) / len(divergences)
    agreement = same / len(divergences)
    template = templates == len(prompts)
    passed = template and mean <= settings.max_divergence_nats and agreement >= settings.min_greedy_agreement
    return ParityVariant(
        name=model.name, counterpart=counterpart, passed=passed, template_equal=template, mean_divergence_nats=mean,
        max_divergence_nats=max(divergences), greedy_agreement=agreement, same_answers=whole / len(prompts),
    )  # fmt: skip


def divergence(logprobs: Array, served: Mapping[int, float]) -> float:
    """KL(trained || served) in nats over the served model's top tokens, with all others as one.

    Taking them together can only lower a divergence, and lowers it by little: both models think them unlikely.
    """
    import numpy as np

    known = {t: v for t, v in served.items() if t < len(logprobs)}  # tokens that only serving has are among the others
    p = np.exp(logprobs[np.fromiter(known, dtype=int)])
    q = np.exp(np.fromiter(known.values(), dtype=float))
    rest_p, rest_q = max(1 - float(p.sum()), 1e-9), max(1 - float(q.sum()), 1e-9)
    total = float(np.sum(p * (np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(q, 1e-12)))))
    return max(0.0, total + rest_p * math.log(rest_p / rest_q))


def _moved(variants: Sequence[ParityVariant]) -> str:
    """The step that changed the model, and where; "" when none did."""
    failed = [v for v in variants if v.counterpart == "custom" and not v.passed]
    if not failed:
        return ""
    worst = max(failed, key=lambda v: v.mean_divergence_nats)
    if not worst.template_equal:
        return f"the chat template: {worst.name} renders or tokenizes other ids than the trained model"
    base = [v for v in variants if v.counterpart == "base"]
    if base and not base[0].passed:
        alone = base[0].mean_divergence_nats
        return f"the quantization of the base ({alone:.3f} nats by itself), seen in {worst.name}"
    return f"the export of the adapter, seen in {worst.name} ({worst.mean_divergence_nats:.3f} nats)"


class _Asked:
    """What a Served asks its engine over HTTP."""

    def __init__(self, name: str, client: httpx.Client) -> None:
        self.name = name
        self._client = client

    def close(self) -> None:
        self._client.close()

    def _post(self, path: str, body: Mapping[str, Json]) -> dict[str, Any]:
        try:
            response = self._client.post(path, json=body)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise BackendError(f"{self.name}: the engine's {path} failed ({error})") from error
        return dict(response.json())


class LlamaServed(_Asked):
    """A Served in the embedded engine.

    Args:
        name: shown in the report.
        client: of the engine.
        lora: adapter scales, as llama.cpp's API has them.
        banned: ids that are never sampled; their probability goes to the others, as it does in sampling.
    """

    def __init__(
        self, name: str, client: httpx.Client, lora: Sequence[Mapping[str, float]] = (), banned: Sequence[int] = ()
    ) -> None:
        super().__init__(name, client)
        self._lora, self._banned = list(lora), frozenset(banned)
        self._sampled: int | None = None

    def tokenize_chat(self, messages: Messages) -> list[int]:
        text = self._post("/apply-template", {"messages": [m.to_openai() for m in messages]})["prompt"]
        tokens = self._post("/tokenize", {"content": text, "parse_special": True, "add_special": False})["tokens"]
        return [int(t) for t in tokens]

    def next_logprobs(self, ids: list[int], top: int) -> dict[int, float]:
        """As in Served. The engine reports none for a token without text, such as half a letter or the end of the
        answer, so a bias makes it sample a plain one; the log-probabilities are from before that bias."""
        if self._sampled is None:
            self._sampled = int(self._post("/tokenize", {"content": "a", "add_special": False})["tokens"][0])
        reply = self._post("/completion", {
            "prompt": ids, "n_predict": 1, "n_probs": top + len(self._banned), "temperature": 0.0, "cache_prompt": True,
            "lora": self._lora, "post_sampling_probs": False, "logit_bias": [[self._sampled, 1000]],
        })  # fmt: skip
        if not reply.get("completion_probabilities"):
            raise BackendError(f"{self.name}: the engine returned no probabilities: {str(reply)[:200]}")
        logprobs = {int(t["id"]): float(t["logprob"]) for t in reply["completion_probabilities"][0]["top_logprobs"]}
        lost = math.log1p(-min(sum(math.exp(v) for t, v in logprobs.items() if t in self._banned), 1 - 1e-9))
        return {t: v - lost for t, v in logprobs.items() if t not in self._banned}


class VllmServed(_Asked):
    """A Served in vLLM; `model` is what it calls the base or an adapter."""

    def __init__(self, name: str, client: httpx.Client, model: str) -> None:
        super().__init__(name, client)
        self._model = model

    def tokenize_chat(self, messages: Messages) -> list[int]:
        body = {"model": self._model, "messages": [m.to_openai() for m in messages], "add_generation_prompt": True}
        return [int(t) for t in self._post("/tokenize", body)["tokens"]]

    def next_logprobs(self, ids: list[int], top: int) -> dict[int, float]:
        reply = self._post("/v1/completions", {
            "model": self._model, "prompt": ids, "max_tokens": 1, "temperature": 0.0, "logprobs": top,
            "return_tokens_as_token_ids": True,
        })  # fmt: skip
        given = reply["choices"][0]["logprobs"]["top_logprobs"][0]
        return {int(name.removeprefix("token_id:")): float(value) for name, value in given.items()}


class TorchModel:
    """A Trained: a base model with what was trained on it.

    Args:
        tokenizer: of the base.
        model: the base model, PEFT-wrapped where an adapter is on it.
        soft_tokens: how many ids a learned prompt takes; they are put first, as the engine has them.
    """

    def __init__(self, tokenizer: Any, model: Any, soft_tokens: int = 0) -> None:
        self._tokenizer, self._model = tokenizer, model.eval()
        size = model.get_input_embeddings().weight.shape[0] if soft_tokens else 0
        self._soft = list(range(size, size + soft_tokens))

    def tokenize_chat(self, messages: Messages) -> list[int]:
        text = self._tokenizer.apply_chat_template(
            [m.to_openai() for m in messages], add_generation_prompt=True, tokenize=False
        )
        return [*self._soft, *self._tokenizer(text, add_special_tokens=False)["input_ids"]]

    def greedy(self, ids: list[int], count: int) -> tuple[list[int], Array]:
        """At most `count` tokens, fewer when the answer ends."""
        import numpy as np
        import torch

        answer: list[int] = []
        rows = []
        unread, past = torch.tensor([ids[len(self._soft) :]]), None
        with torch.no_grad():
            for _ in range(count):
                # PEFT puts a learned prompt before every call; after the first call it is in the cache
                model = self._model.base_model if self._soft and past is not None else self._model
                out = model(input_ids=unread, past_key_values=past, use_cache=True, logits_to_keep=1)
                past = out.past_key_values
                rows.append(torch.log_softmax(out.logits[0, -1].double(), dim=-1).numpy())
                answer.append(int(rows[-1].argmax()))
                if answer[-1] == self._tokenizer.eos_token_id:
                    break
                unread = torch.tensor([[answer[-1]]])
        return answer, np.stack(rows)


def with_adapter(model: Any, adapter: Path) -> Any:
    """The model with a PEFT folder on it.

    Raises:
        InputError: the folder holds no adapter for this model.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        hint = "run `inhouse train` to recreate it"
        raise InputError(f"{adapter}: not an adapter for this base ({str(error)[:160]})", hint) from error
