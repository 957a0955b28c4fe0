"""Estimators that are read from a critic's score matrices, (R, n, n).

One whose critic maximises the estimate itself derives from `Maximised`: `nwj.py` is a good example. One with
another objective derives from `FromScores` and names an `OfScores`: `js.py` shares one that exists, `nce.py`
has its own. `baseline.py` is a helper, the learned baseline a(y) of `tuba.py` and `interpolated.py`.
"""
