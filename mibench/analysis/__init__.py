"""What records say: cells, tests, comparisons and verdicts. Nothing here imports torch.

`cells.py` makes the cells of a grid, from which tables and figures are made; the other modules have one
question each, such as `comparison.py`. `significance.py` and `groups.py` are helpers.
"""
