"""The engine never needs more memory than its plan says (within 25%)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A process of its own: what it needs at its peak, less what it had before the first large pack.
MEASURE = """
import json, re, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from grids import jobs, outcomes, specs

def peak():
    # Not getrusage's: a process inherits the peak of the one that started it.
    return int(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1]) * 1024

model, runs, n, budget = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
setting = dict(model=model, dim=20, precision="float32", steps=8, mis=(4.0,))
outcomes(specs(seeds=(0,), ns=(8,), **setting))
before = peak()
grid = specs(seeds=range(runs), ns=(n,), **setting)
statuses = {outcome.status for outcome in outcomes(grid, budget).values()}
needed = peak() - before
packs = [job.pack for job in jobs(grid, budget)]
print(json.dumps({"packs": len(packs), "announced": max(pack.bytes for pack in packs),
                  "needed": needed, "statuses": sorted(statuses)}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("model", "runs", "n", "budget"),
    [
        ("separable", 100, 64, 300 * 2**20),
        ("separable", 20, 512, 300 * 2**20),
        ("joint", 20, 64, 300 * 2**20),
        ("separable", 2, 16384, 2**20),  # in tiles: a matrix would take 1 GiB, and training several
    ],
)
def test_peak_memory_stays_within_the_announcement(model, runs, n, budget, request):
    folder = str(request.path.parent)
    command = [sys.executable, "-c", MEASURE, folder, model, str(runs), str(n), str(budget)]
    seen = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert seen["statuses"] == ["ok"]
    assert seen["packs"] > 1
    assert seen["needed"] <= 1.25 * seen["announced"], seen
    assert seen["needed"] >= 0.4 * seen["announced"], seen  # the announcement is not far too large either
