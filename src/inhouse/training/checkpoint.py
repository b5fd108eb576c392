"""Checkpoints of a training run as safetensors and JSON; each is written whole, then renamed into place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inhouse.files import replacing, write_text
from inhouse.training.sharding import part
from inhouse.types import Json

if TYPE_CHECKING:
    import torch

STATE = "state.json"


def write_tensors(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    with replacing(file) as partial:
        save_file({name: t.detach().to("cpu").contiguous() for name, t in tensors.items()}, partial)


def read_tensors(file: Path, into: Mapping[str, torch.Tensor]) -> None:
    """Copies the file's tensors, or this process's parts of them, into those of the same names."""
    import torch
    from safetensors.torch import load_file

    saved = load_file(file)
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(part(saved[name], tensor))


def tensors_of(trained: Mapping[str, torch.Tensor], optimizer: Any) -> dict[str, torch.Tensor]:
    """What `save` saves: weights, optimizer moments, and the random state."""
    import torch

    tensors = {f"weight.{n}": p for n, p in trained.items()}
    names = list(trained)
    for at, moments in optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            tensors[f"optimizer.{names[at]}|{key}"] = torch.as_tensor(value)
    tensors["random"] = torch.get_rng_state()
    return tensors


def save(folder: Path, tensors: Mapping[str, torch.Tensor], state: dict[str, Json]) -> None:
    """Saves the tensors of `tensors_of`, whole, and the state of the run."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_tensors(partial / "tensors.safetensors", tensors)
    write_text(partial / STATE, json.dumps(state))
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(partial, folder)
    shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, trained: Mapping[str, torch.Tensor], optimizer: Any) -> dict[str, Json] | None:
    """Restores everything and returns the state of the run; None where there is no checkpoint."""
    import torch
    from safetensors.torch import load_file

    old = folder.with_name(folder.name + ".old")
    if not folder.exists() and old.exists():  # killed between the two renames
        os.rename(old, folder)
    if not (folder / STATE).is_file():
        return None
    saved = load_file(folder / "tensors.safetensors")
    names = list(trained)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    with torch.no_grad():
        for name, tensor in saved.items():
            kind, _, rest = name.partition(".")
            if kind == "weight":
                trained[rest].copy_(part(tensor, trained[rest]))
            elif kind == "optimizer":
                owner, _, key = rest.rpartition("|")
                value = part(tensor, trained[owner]) if tensor.shape == trained[owner].shape else tensor
                moments.setdefault(names.index(owner), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(saved["random"])
    return dict(json.loads((folder / STATE).read_text(encoding="utf-8")))


def remove(folder: Path) -> None:
    for name in (folder.name, folder.name + ".old", folder.name + ".partial"):
        shutil.rmtree(folder.with_name(name), ignore_errors=True)
