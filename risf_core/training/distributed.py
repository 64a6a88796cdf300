"""The processes of one training run: their group, and the model that averages gradients over them."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from risf_core.detector.model import Detector
from risf_core.processes import Processes

_PATIENCE = timedelta(hours=12)  # the others wait while the first evaluates


@contextlib.contextmanager
def training_group(processes: Processes, device: torch.device) -> Iterator[None]:
    """The process group; nothing where there is one process.

    Over NCCL where each process has a GPU of its own, else over gloo: NCCL refuses two processes on one GPU.
    """
    if processes.count == 1:
        yield
        return
    own_gpus = device.type == "cuda" and processes.count_here <= torch.cuda.device_count()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if own_gpus else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def with_shared_gradients(model: Detector, processes: Processes, device: torch.device) -> nn.Module:
    """The model in DistributedDataParallel, or itself where there is one process."""
    if processes.count == 1:
        return model
    # without any gradient into res4 its parameters have none, which DDP has to look for
    cut_off = model.rpn_gradient_scale == 0 and model.rcnn_gradient_scale == 0
    no_buffers: dict[str, Any] = {_buffers_option(): False}  # Any: torch's keywords. They are frozen norms
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        find_unused_parameters=cut_off,
        **no_buffers,
    )


def _buffers_option() -> str:
    """What DistributedDataParallel calls the broadcast of buffers before each step: newer releases warn of the old."""
    known = inspect.signature(DistributedDataParallel).parameters
    return "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"


def mean_over_processes(values: Tensor, processes: Processes) -> Tensor:
    """The mean of every process's values."""
    if processes.count == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / processes.count


def wait_for_all(processes: Processes) -> None:
    """Go on when every process has come here."""
    if processes.count > 1:
        distributed.barrier()
