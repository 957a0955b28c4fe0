"""Settings of the process as a whole: how OpenMP's threads wait, and what malloc keeps.

Nothing here imports torch: how threads wait is read when torch is loaded, and cannot be changed afterwards.
"""

from __future__ import annotations

import ctypes
import os
import sys
import warnings

from mibench.errors import SlowWarning

SPIN_COUNT = 1000
"""Iterations for which a waiting thread of GNU's OpenMP spins before it sleeps; its default is 300,000."""

WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Environment variables with which a user says how threads wait."""

LOAD_SECONDS = 0.1
"""How long the load of the processor is measured."""


def shorten_spin() -> None:
    """Let the threads of PyTorch spin only shortly, unless torch is loaded or the user has chosen otherwise.

    A step is many small products, and at the end of each the threads wait for each other. By default they
    spin for milliseconds; where another process holds a core, they hold the one that the slowest thread
    needs, and a step takes up to 50 times as long. Sleeping at once would cost a factor of 1.75 on an idle
    machine. The variable is inherited by processes that this one starts.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)


def how_threads_wait() -> str:
    """Return the environment variables that are in force, or that there are none."""
    given = [f"{name}={os.environ[name]}" for name in WAITING if name in os.environ]
    return ", ".join(given) or "OpenMP's default: torch was loaded before mibench"


def warn_of_waiting(threads: int) -> None:
    """Warn, once in a process, where other processes hold cores and threads wait by spinning for long."""
    import psutil

    global _warned
    if _warned or threads < 2 or any(name in os.environ for name in WAITING):
        return
    process = psutil.Process()
    shares = psutil.cpu_percent(LOAD_SECONDS, percpu=True)
    ours = process.cpu_affinity() if hasattr(process, "cpu_affinity") else range(len(shares))
    busy = sum(shares[core] for core in ours) / 100
    if len(ours) - busy > threads - 0.5:
        return
    _warned = True
    warnings.warn(
        f"Other processes use {busy:.1f} of {len(ours)} cores, and torch was loaded before mibench could "
        f"shorten how long its {threads} threads spin: runs can be many times slower. Import mibench before "
        f"torch, set GOMP_SPINCOUNT={SPIN_COUNT} before Python starts, or call torch.set_num_threads(1).",
        SlowWarning,
        stacklevel=_frames_of_ours(),
    )


_warned = False


def _frames_of_ours() -> int:
    """Return the stack level, as `warnings.warn` counts it, of the first frame outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mibench":
        level, frame = level + 1, frame.f_back
    return level


def keep_freed_memory() -> None:
    """Let the C library keep what tensors free, in place of handing it back to the system.

    A step frees and takes megabytes for its gradients; glibc returns blocks of that size at once, and the
    system then clears every page of them anew, step after step: a step takes about a tenth longer. Blocks
    larger than a pack on a CPU has are still returned, or they would leave holes. It cannot be undone, so the
    command line does it for its own process, and the library leaves it to its user. Where the C library is
    another, nothing is done.
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(mmap_threshold, 8 * 2**20)
    mallopt(trim_threshold, 256 * 2**20)
