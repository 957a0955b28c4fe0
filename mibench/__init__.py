"""A benchmark suite for mutual-information estimators on tasks whose true mutual information is known."""
__version__ = "0.1.0"
