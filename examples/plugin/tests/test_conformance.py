"""Every property that the classes promise; `mibench validate` prints them."""

from mibench.testing import check_estimator, check_model, check_task
from mibench_example.critics import Normalised
from mibench_example.estimators import HellingerDIME
from mibench_example.tasks import UniformNoise


def test_estimator():
    check_estimator(HellingerDIME())


def test_task():
    check_task(UniformNoise())


def test_critic():
    check_model(Normalised())
