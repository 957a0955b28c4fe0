"""From runs to outcomes: packs are planned, trained as one tensor program, and read.

`plan.py` makes packs of runs, `fit.py` trains one, `read.py` reads it; a protocol (`protocols/`) says in
which order, and a backend (`backends/`) where the jobs (`jobs.py`) run. `encoding.py` trains encoders. The
others are helpers: data and their sources, the loop of steps, devices, and costs.
"""
