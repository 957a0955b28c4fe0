"""Records for the tests of what is computed from records."""

from mibench.store.record import Record


def record(key="k", **changes):
    values = dict(  # noqa: C408 - the fields as they are written
        key=key,
        training=key,
        objective="infonce",
        estimator="infonce",
        task="gaussian",
        dim_x=20,
        dim_y=20,
        true_mi_nats=4.0,
        encoder="none",
        n=64,
        critic="separable",
        protocol="stream",
        samples=None,
        steps=1000,
        lr=0.002,
        schedule="one-cycle",
        precision="float32",
        seed=0,
        estimate_nats=3.0,
        estimate_se_nats=0.02,
        batch_std_nats=0.2,
        batches=100,
        oracle_nats=3.1,
        oracle_se_nats=0.02,
        critic_gap_se_nats=0.01,
        log_ratio_rmse_nats=0.3,
        log_partition_nats=0.05,
        alignment=None,
        uniformity=None,
        effective_rank=None,
        probe_accuracy=None,
        encoder_nats=None,
        encoder_ceiling_nats=None,
        train_nats=None,
        validation_nats=None,
        best_step=None,
        ceiling_nats=4.1588830833596715,
        saturated=False,
        status="ok",
        message="",
        wall_s=1.0,
        device="cpu",
        version="0.1.0",
        finished_at="2026-01-02T03:04:05Z",
    )
    values |= changes
    truth = dict.fromkeys(("true_mi_low_nats", "true_mi_high_nats"), values["true_mi_nats"])
    return Record(**truth | values)


def failed(key="k", **changes):
    nothing = dict.fromkeys(
        (
            "estimate_nats",
            "estimate_se_nats",
            "batch_std_nats",
            "batches",
            "oracle_nats",
            "oracle_se_nats",
            "critic_gap_se_nats",
            "log_ratio_rmse_nats",
            "log_partition_nats",
        )
    )
    return record(key, status="diverged", message="the objective is not finite", **nothing | changes)
