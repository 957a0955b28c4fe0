"""What is kept: records, curves, encoders and baselines. Nothing here imports torch."""
