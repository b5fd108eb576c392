"""Fully sharded data parallelism: each process keeps a part of every weight, gradient, and optimizer moment.

This is PyTorch's `fully_shard` (FSDP2; Zhao et al. 2023, "PyTorch FSDP: Experiences on Scaling Fully Sharded Data
Parallel"). A layer's weights are gathered just before the layer runs and dropped after it, so a device holds one whole
layer at a time. Files hold whole tensors, the same as those of one process: a run may continue with another number of
processes, or without sharding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from inhouse.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def shard(model: Any, accelerator: Accelerator) -> None:
    """Leaves this process its part of the model, layer by layer, on its device.

    Args:
        model: on the CPU, with the same weights in every process.
        accelerator: which process this is, and its device.

    Raises:
        ConfigError: there is only one process, so there is nothing to share.
    """
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    count = accelerator.num_processes
    if count == 1:
        hint = "start several processes (training.processes, or nodes of a launcher), or remove training.sharding"
        raise ConfigError('training.sharding = "fsdp" needs more than one process', hint)
    mesh = init_device_mesh(accelerator.device.type, (count,))
    blocks = set(_inner(model)._no_split_modules or ())
    for module in [m for m in model.modules() if type(m).__name__ in blocks]:
        fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):  # each loss is already its part of the whole batch, so gradients add up
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(1.0)
    _enter_through(model)
    if accelerator.device.type == "cuda":
        torch.cuda.empty_cache()


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _enter_through(model: Any) -> None:
    """Gives the model a method `within(call)`, which runs `call()` as its forward pass: a loss that uses parts of the
    model finds the weights outside of layers (embeddings, output) gathered."""
    from torch.distributed.fsdp import register_fsdp_forward_method

    model.within = _called
    register_fsdp_forward_method(model, "within")


def _called(call: Callable[[], Any]) -> Any:
    return call()


def is_sharded(model: Any) -> bool:
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


def whole(tensors: Mapping[str, torch.Tensor], keep: bool) -> dict[str, torch.Tensor]:
    """The whole tensors on the CPU, one gathered after the other; all processes must call it.

    Args:
        tensors: sharded or not.
        keep: whether this process wants them; otherwise the result is empty.
    """
    from torch.distributed.tensor import DTensor

    made = {}
    for name, tensor in tensors.items():
        value = tensor.detach()
        if isinstance(value, DTensor):
            value = value.full_tensor()
        if keep:
            made[name] = value.to("cpu")
    return made


def part(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What this process keeps of a whole tensor that is sharded as `like` is; the tensor itself if that is not."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor):
        return tensor
    own = tensor.to(like.device, like.dtype)
    return distribute_tensor(own, like.device_mesh, like.placements, src_data_rank=None)
