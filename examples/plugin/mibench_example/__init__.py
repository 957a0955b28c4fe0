"""An estimator, a task and a critic for mibench."""
