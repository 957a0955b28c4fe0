"""What records say: cells, tests, comparisons and verdicts. Nothing here imports torch."""
