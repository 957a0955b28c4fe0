"""Which device trains, what it can hold, and the one thing that only CUDA has: a captured step."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch
from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.errors import UsageError
from mibench.process import warn_of_waiting

CACHE_BUDGET_BYTES = 24 * 2**20
"""What a pack may touch in a step on a CPU: beyond the last-level cache, larger packs are slower."""

CUDA_SHARE = 0.6
"""The share of a GPU's free memory that a pack may need; the rest is for fragments and libraries."""

CONTROL_GROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")
"""Where Linux has the limit of the processes that share it; `max` stands for none."""

WARM_UP_STEPS = 3

Step = Callable[[Batch], "tuple[Tensor, Tensors | None]"]


def resolve(name: str) -> tuple[torch.device, str]:
    """Return the device of `auto`, `cpu`, `cuda` or `cuda:1`, and a sentence that says what was chosen.

    Raises:
        UsageError: no such device here; there is no silent fallback.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if available else "cpu"
    match = re.fullmatch(r"cpu|cuda(:(?P<number>[0-9]+))?", name)
    if match is None:
        raise UsageError(f"Unknown device {name!r}.", "Give auto, cpu, cuda or cuda:0.")
    if name == "cpu":
        warn_of_waiting(torch.get_num_threads())
        return torch.device("cpu"), f"device: cpu, {torch.get_num_threads()} threads"
    number = int(match["number"] or 0)
    if number >= available:
        here = f"{available} CUDA device{'s' * (available != 1)}" if available else "no CUDA device"
        raise UsageError(
            f"Device {name!r} is not here: PyTorch {torch.__version__} sees {here}.",
            "Give --device cpu or auto, or install a PyTorch built for your GPU and its driver.",
        )
    return torch.device("cuda", number), f"device: {name}, {torch.cuda.get_device_name(number)}"


def budget_bytes(device: torch.device) -> int:
    """Return how much memory a pack may need."""
    if device.type == "cpu":
        return CACHE_BUDGET_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    return int(CUDA_SHARE * free)


def memory_bytes(device: torch.device) -> int:
    """Return the memory of the device as a whole."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    there = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):  # a container or a job of a queue may have less
        return min(there, int(CONTROL_GROUP_MEMORY.read_text()))
    return there


def flops_per_second(device: torch.device, seconds: float = 0.2) -> float:
    """Return the rate of a large float32 matrix product, measured for about that long."""
    size, products = (1024, 1) if device.type == "cpu" else (4096, 10)
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).to(device)

    def run() -> float:
        for _ in range(products):
            matrix @ matrix
        return float((matrix[0, 0] + 0).item())  # waits until the device has finished

    run()
    done, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        run()
        done += products
    return 2.0 * size**3 * done / passed


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Let float32 matrix products round to TF32, or not; the process is left as it was."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def captured(step: Step, batch: Batch, state: Callable[[], Sequence[Tensor]]) -> Step:
    """Return the step as one CUDA graph, which is launched at once in place of kernel by kernel.

    The warm-up that capture needs changes the tensors of `state`; they are put back. Those that the step
    itself creates (the optimiser's) begin at zero, and are put back to that. Capture runs nothing. What the
    graph returns is overwritten by the next step.
    """
    fixed = batch.map(torch.clone)
    device = batch.x.device
    before = {id(tensor): tensor.detach().to("cpu", copy=True) for tensor in state()}
    # A stream of this device: the default one for captures belongs to the device that was first.
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*capturable=True.*")  # so the warm-up is not captured
        for _ in range(WARM_UP_STEPS):
            step(fixed)
    torch.cuda.current_stream(device).wait_stream(side)
    with torch.no_grad():
        for tensor in state():
            tensor.copy_(before.get(id(tensor), torch.zeros_like(tensor, device="cpu")))
            tensor.grad = None  # the graph makes its own
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        values = step(fixed)

    def replay(batch: Batch) -> tuple[Tensor, Tensors | None]:
        for to, given in zip(fixed.tensors(), batch.tensors(), strict=True):
            to.copy_(given)
        graph.replay()
        return values

    return replay
