"""Tests of what a class promises: `check_estimator`, `check_task`, `check_model`, `check_encoder`.

    from mibench.testing import check_estimator

    def test_estimator():
        check_estimator(MyEstimator())

Each tests every property and raises a `ConformanceError` that lists those that do not hold. A class may
declare properties that are known to fail, with the reason, in `conformance_exceptions`. Everything random has
a fixed seed. `mibench validate` does the same on the command line.
"""

from mibench.testing.conformance import Conformance, ConformanceError
from mibench.testing.encoders import check_encoder
from mibench.testing.estimators import check_estimator
from mibench.testing.models import check_model
from mibench.testing.tasks import check_task

__all__ = [
    "Conformance",
    "ConformanceError",
    "check_encoder",
    "check_estimator",
    "check_model",
    "check_task",
]
