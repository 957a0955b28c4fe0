"""Which device trains, what it can hold, and the one thing that only CUDA has: a captured step."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
import torch
from torch import Tensor

from mibench.errors import UsageError
from mibench.process import warn_of_waiting

CACHE_BUDGET_BYTES = 24 * 2**20
"""What a pack may touch in a step on a CPU: beyond the last-level cache, larger packs are slower."""

CUDA_SHARE = 0.6
"""The share of a GPU's free memory that a pack may need; the rest is for fragments and libraries."""

WARM_UP_STEPS = 3

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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
    return int(psutil.virtual_memory().total)


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
def matmul_precision(precision: str) -> Iterator[None]:
    """Let float32 matrix products round to TF32 within the block, or not; the setting is then as before."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def captured(step: Step, x: Tensor, y: Tensor, state: Callable[[], Sequence[Tensor]]) -> Step:
    """Return the step as one CUDA graph, which is launched at once in place of kernel by kernel.

    The warm-up that capture needs changes the tensors of `state`; they are put back. Those that the step
    itself creates (the optimiser's) begin at zero, and are put back to that. Capture runs nothing.
    """
    fixed_x, fixed_y = x.clone(), y.clone()
    before = {id(tensor): tensor.detach().to("cpu", copy=True) for tensor in state()}
    # A stream of this device: the default one for captures belongs to whichever device came first.
    side = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(side), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*capturable=True.*")  # so the warm-up is not captured
        for _ in range(WARM_UP_STEPS):
            step(fixed_x, fixed_y)
    torch.cuda.current_stream(x.device).wait_stream(side)
    with torch.no_grad():
        for tensor in state():
            tensor.copy_(before.get(id(tensor), torch.zeros_like(tensor, device="cpu")))
            tensor.grad = None  # the graph makes its own
    torch.cuda.synchronize(x.device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        values = step(fixed_x, fixed_y)

    def replay(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        fixed_x.copy_(x)
        fixed_y.copy_(y)
        graph.replay()
        return values

    return replay
