"""What is shown: tables, figures, the report and its prose. Nothing here imports torch.

A new table is a function that returns a `Table` (`tables.py`); `reproduction_tables.py` is a short example.
`figures/` finds its figures itself. `page/` is the report of `mibench report`; `output.py` writes the files
of a command. `latex.py` and `words.py` are helpers.
"""
