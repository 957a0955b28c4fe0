"""The verbs that the command line and notebooks share, one a file.

`run.py`, `compare.py`, `estimate.py`, `check.py`, `reproduce.py`, `report.py`, `validate.py` and `plan.py`
each have the verb of their name; `compare.py` is a short example. The others are helpers: `expand.py` makes
runs of settings, `recording.py` records of outcomes, `freezing.py` baselines, `encode.py` trained encoders.
"""
