"""The parity gate: is the model that is served the model that was trained?

For a fixed set of prompts the trained model runs in PyTorch, and each way of serving it in the engine. Compared are the
token ids of the rendered chat template, the distribution of the next token at the end of the prompt and along the
trained model's own greedy answer, and the tokens that either would say. Where the custom model fails, the untouched
base is compared too, to tell which step moved it: the template, the quantization of the base, or the adapter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from inhouse.config.sections import Parity
from inhouse.errors import BackendError, InputError
from inhouse.types import Json, Message, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Logprobs = NDArray[np.float64]

PATH_TOKENS = 12  # how far along the greedy answer distributions are compared
TOP = 128  # the engine's most likely tokens; the rest is one lump

Messages = tuple[Message, ...]


class Trained(Protocol):
    """The trained model in PyTorch."""

    def tokenize_chat(self, messages: Messages) -> list[int]: ...

    def greedy(self, ids: list[int], count: int) -> tuple[list[int], Logprobs]:
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
    settings: Parity,
    progress: Progress,
) -> dict[str, Json]:
    """Compares every served model with its trained counterpart.

    Args:
        trained: models in PyTorch by name: "base", "custom".
        served: each with the name of its counterpart; the gate rests on those of "custom".
        prompts: what is asked.
        settings: tolerances.
        progress: told after each prompt and model.

    Returns:
        `passed`, `moved` (what step broke parity, "" when none did) and one entry a variant.
    """
    with progress.step("parity", len(prompts) * (len(trained) + len(served))) as step:
        paths: dict[str, list[tuple[list[int], list[int], Logprobs]]] = {}
        for name, model in trained.items():
            paths[name] = []
            for messages in prompts:
                ids = model.tokenize_chat(messages)
                paths[name].append((ids, *model.greedy(ids, PATH_TOKENS)))
                step.advance()
        variants = []
        for variant, counterpart in served:
            variants.append(_compared(variant, counterpart, prompts, paths[counterpart], settings, step))
    return {"passed": all(v["passed"] for v in variants if v["counterpart"] == "custom"), "moved": _moved(variants),
            "prompts": len(prompts), "variants": variants, "max_divergence_nats": settings.max_divergence_nats,
            "min_greedy_agreement": settings.min_greedy_agreement}  # fmt: skip


def joined(first: Mapping[str, Json], second: Mapping[str, Json]) -> dict[str, Json]:
    """Two reports over the same prompts as one."""
    variants = [*first["variants"], *second["variants"]]
    passed = all(v["passed"] for v in variants if v["counterpart"] == "custom")
    return {**first, "variants": variants, "moved": _moved(variants), "passed": passed}


def _compared(
    model: Served, counterpart: str, prompts: Sequence[Messages], paths: Sequence[Any], settings: Parity, step: Any
) -> dict[str, Json]:
    divergences: list[float] = []
    same = whole = 0
    templates = 0
    for messages, (ids, answer, logprobs) in zip(prompts, paths, strict=True):
        templates += model.tokenize_chat(messages) == ids
        agreed = []
        for at in range(len(answer)):
            found = model.next_logprobs(ids + answer[:at], TOP)
            divergences.append(divergence(logprobs[at], found))
            agreed.append(max(found, key=lambda t: found[t]) == answer[at])
        same += sum(agreed)
        whole += all(agreed)
        step.advance()
    mean = sum(divergences) / len(divergences)
    agreement = same / len(divergences)
    template = templates == len(prompts)
    passed = template and mean <= settings.max_divergence_nats and agreement >= settings.min_greedy_agreement
    return {"name": model.name, "counterpart": counterpart, "passed": passed, "template_equal": template,
            "mean_divergence_nats": mean, "max_divergence_nats": max(divergences), "greedy_agreement": agreement,
            "same_answers": whole / len(prompts)}  # fmt: skip


def divergence(logprobs: Logprobs, found: Mapping[int, float]) -> float:
    """KL(trained || served) in nats over the served model's top tokens, with all others as one lump.

    Lumping can only lower a divergence, and lowers it by little: the lump holds what both think unlikely.
    """
    import numpy as np

    known = {t: v for t, v in found.items() if t < len(logprobs)}  # tokens that only serving has are lumped
    p = np.exp(logprobs[np.fromiter(known, dtype=int)])
    q = np.exp(np.fromiter(known.values(), dtype=float))
    rest_p, rest_q = max(1 - float(p.sum()), 1e-9), max(1 - float(q.sum()), 1e-9)
    total = float(np.sum(p * (np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(q, 1e-12)))))
    return max(0.0, total + rest_p * math.log(rest_p / rest_q))


def _moved(variants: Sequence[Mapping[str, Any]]) -> str:
    """The step that moved the model, and where."""
    failed = [v for v in variants if v["counterpart"] == "custom" and not v["passed"]]
    if not failed:
        return ""
    worst = max(failed, key=lambda v: v["mean_divergence_nats"])
    if not worst["template_equal"]:
        return f"the chat template: {worst['name']} renders or tokenizes other ids than the trained model"
    base = [v for v in variants if v["counterpart"] == "base"]
    if base and not base[0]["passed"]:
        alone = base[0]["mean_divergence_nats"]
        return f"the quantization of the base ({alone:.3f} nats by itself), seen in {worst['name']}"
    return f"the export of the adapter, seen in {worst['name']} ({worst['mean_divergence_nats']:.3f} nats)"


class EngineServed:
    """A Served over the engine's own loopback port.

    Args:
        name: shown in the report.
        url: of the engine.
        api_key: of the engine.
        lora: adapter scales, as llama.cpp's API has them.
        banned: ids that are never sampled; what probability they have goes to the others, as it does in sampling.
    """

    def __init__(
        self, name: str, url: str, api_key: str, lora: Sequence[Mapping[str, float]] = (), banned: Sequence[int] = ()
    ) -> None:
        self.name = name
        self._lora, self._banned = list(lora), frozenset(banned)
        self._spoken: int | None = None
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=120)

    def tokenize_chat(self, messages: Messages) -> list[int]:
        text = self._post("/apply-template", {"messages": [m.to_openai() for m in messages]})["prompt"]
        tokens = self._post("/tokenize", {"content": text, "parse_special": True, "add_special": False})["tokens"]
        return [int(t) for t in tokens]

    def next_logprobs(self, ids: list[int], top: int) -> dict[int, float]:
        """As Served has it. The engine tells none for a token without text of its own, such as half a letter or the end
        of the answer, so it is made to say a plain one; what it tells is from before that."""
        if self._spoken is None:
            self._spoken = int(self._post("/tokenize", {"content": "a", "add_special": False})["tokens"][0])
        found = self._post("/completion", {
            "prompt": ids, "n_predict": 1, "n_probs": top + len(self._banned), "temperature": 0.0, "cache_prompt": True,
            "lora": self._lora, "post_sampling_probs": False, "logit_bias": [[self._spoken, 1000]],
        })  # fmt: skip
        if not found.get("completion_probabilities"):
            raise BackendError(f"{self.name}: the engine told no probabilities: {str(found)[:200]}")
        told = {int(t["id"]): float(t["logprob"]) for t in found["completion_probabilities"][0]["top_logprobs"]}
        lost = math.log1p(-min(sum(math.exp(v) for t, v in told.items() if t in self._banned), 1 - 1e-9))
        return {t: v - lost for t, v in told.items() if t not in self._banned}

    def close(self) -> None:
        self._client.close()

    def _post(self, path: str, body: Mapping[str, Json]) -> dict[str, Any]:
        try:
            response = self._client.post(path, json=body)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise BackendError(f"{self.name}: the engine's {path} failed ({error})") from error
        return dict(response.json())


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

    def greedy(self, ids: list[int], count: int) -> tuple[list[int], Logprobs]:
        """At most `count` tokens, fewer when the answer ends."""
        import numpy as np
        import torch

        said: list[int] = []
        rows = []
        asked, past = torch.tensor([ids[len(self._soft) :]]), None
        with torch.no_grad():
            for _ in range(count):
                # PEFT puts a learned prompt before every call; past the first it stands in the cache already
                model = self._model.base_model if self._soft and past is not None else self._model
                out = model(input_ids=asked, past_key_values=past, use_cache=True, logits_to_keep=1)
                past = out.past_key_values
                rows.append(torch.log_softmax(out.logits[0, -1].double(), dim=-1).numpy())
                said.append(int(rows[-1].argmax()))
                if said[-1] == self._tokenizer.eos_token_id:
                    break
                asked = torch.tensor([[said[-1]]])
        return said, np.stack(rows)


def with_adapter(model: Any, adapter: Path) -> Any:
    """The model with a PEFT folder on it.

    Raises:
        InputError: the folder is no adapter of this model.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{adapter}: not an adapter of this base ({str(error)[:160]})", "train it again") from error
