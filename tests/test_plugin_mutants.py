"""Each error in a copy of a class is found by the kit, whose message names the property that it breaks."""

import pytest
from mutants import mutated

from mibench.testing import ConformanceError, check_encoder, check_estimator, check_model, check_task

PLUGIN, SCORES = "examples/plugin/mibench_example", "mibench/estimators/scores"

HD_DIME = f"{PLUGIN}/estimators.py", "HellingerDIME", check_estimator
UNIFORM_NOISE = f"{PLUGIN}/tasks.py", "UniformNoise", check_task
NORMALISED = f"{PLUGIN}/critics.py", "Normalised", check_model
NWJ = f"{SCORES}/nwj.py", "NWJ", check_estimator
NCE = f"{SCORES}/nce.py", "NCE", check_estimator
JS = f"{SCORES}/js.py", "JS", check_estimator
SMILE = f"{SCORES}/smile.py", "SMILE", check_estimator
INFONCE = f"{SCORES}/infonce.py", "InfoNCE", check_estimator
INTERPOLATED = f"{SCORES}/interpolated.py", "Interpolated", check_estimator
KSG = "mibench/estimators/neighbours/ksg.py", "KSG", check_estimator
CCA = "mibench/estimators/gaussian/cca.py", "CCA", check_estimator
GCMI = "mibench/estimators/gaussian/gcmi.py", "GCMI", check_estimator
BA, DOE, CLUB, L1OUT = (
    (f"mibench/estimators/conditional/{name.lower()}.py", name, check_estimator)
    for name in ("BA", "DoE", "CLUB", "L1Out")
)
MMG = "mibench/estimators/diffusion/mmg.py", "MMG", check_estimator
GAUSSIAN = "mibench/tasks/gaussian.py", "Gaussian", check_task
GAUSSIAN_MLP = "mibench/models/conditionals/gaussian_mlp.py", "GaussianMLP", check_model
JOINT = "mibench/models/critics/joint.py", "Joint", check_model
NOISE_MLP = "mibench/models/denoisers/noise_mlp.py", "NoiseMLP", check_model
LINEAR = "mibench/encoders/linear.py", "Linear", check_encoder
CPC = "mibench/encoders/cpc.py", "CPCEncoder", check_encoder
MOCO = "mibench/encoders/moco.py", "MoCo", check_encoder

MUTANTS = [
    # A wrong constant or sign, in training and in the estimate.
    (HD_DIME, "-positives(scores) / 2", "-positives(scores) / 3", "optimal critic"),
    (HD_DIME, "return -joint - noise", "return joint + noise", "optimal critic"),
    (HD_DIME, "return positives(", "return -positives(", "grows with the truth"),
    (HD_DIME, "return positives(", "return 1.5 * positives(", "the exact model reads the truth"),
    (HD_DIME, "return positives(", "return 0.1 + positives(", "a blind model reads 0"),
    (NWJ, "- 1).exp()", ").exp()", "a blind model reads 0"),
    (NWJ, "return 1 + log_ratio", "return log_ratio", "optimal critic"),
    (NWJ, "return scores - 1", "return scores", "log ratio"),
    (NWJ, "return positives(", "return -positives(", "grows with the truth"),
    (NCE, "math.log(k)", "math.log(k + 1)", "optimal critic"),
    (NCE, "math.log(k) - f", "math.log(n) - f", "optimal critic"),
    (JS, "1 + positives(scores)", "positives(scores)", "a blind model reads 0"),
    (JS, "scores = scores.double()", "scores = scores.double() - 1", "a blind model reads 0"),
    (SMILE, "scores.clamp(", "scores.exp().clamp(", "a blind model reads 0"),
    (INFONCE, "math.log(scores.shape[-1])", "math.log(scores.shape[-1] - 1)", "a blind model reads 0"),
    (INFONCE, "self.temperature * log_ratio", "log_ratio / 2", "the exact model is best"),
    (INTERPOLATED, "math.log(n - 1))", "math.log(n))", "a blind model reads 0"),
    # A ceiling that is too high or too low.
    (INFONCE, "return math.log(n)", "return math.log(n) + 5", "ceiling is reached"),
    (INFONCE, "return math.log(n)", "return math.log(n - 1)", "ceiling is not exceeded"),
    (INTERPOLATED, "+ (self.alpha < 1)", "", "ceiling is not exceeded"),
    # No bound, although declared as one.
    (JS, "1 + positives(scores).mean(-1) - log_mean_exp_negatives(scores).exp()",
     "positives(scores).mean(-1)", "bound for any critic"),
    (NWJ, 'Bound("lower", "in expectation")', 'Bound("upper", "in expectation")', "bound"),
    # The diagonal among the noise.
    (HD_DIME, "log_mean_exp_negatives(scores / 2).exp()", "(scores / 2).exp().mean((-2, -1))",
     "optimal critic"),
    (NWJ, "log_mean_exp_negatives(scores)", "scores.logsumexp((-2, -1)).sub(2 * math.log(scores.shape[-1]))",
     "diagonal is not in E_Q"),
    # A leak between runs, or between pairs; values that are remembered; a gradient that is not let through.
    (HD_DIME, "positives(scores.double())", "positives(scores.double() - scores.double().mean(0))",
     "estimates of runs do not mix"),
    (HD_DIME, "joint = (-positives(scores) / 2)", "joint = (-positives(scores - scores.mean(0)) / 2)",
     "training of runs does not mix"),
    (HD_DIME, "joint = (-positives(scores) / 2)", "joint = (-positives(scores - scores.mean(0)) / 2)",
     "pack equals alone"),
    (HD_DIME, "positives(scores.double()).mean(-1)", "positives(scores.double())[..., 0]", "order of pairs"),
    (HD_DIME, "scores: Tensor) -> Tensor:\n        \"\"\"Return the mean",
     "scores: Tensor, kept={}) -> Tensor:\n        scores = kept.setdefault(0, scores)\n        \"\"\"R",
     "held-out data"),
    (HD_DIME, "positives(scores.double())", "positives(scores)", "float32 equals float64"),
    (HD_DIME, "negatives(scores / 2)", "negatives(scores.detach() / 2)", "gradient"),
    (NWJ, "log_mean_exp_negatives(scores)", "log_mean_exp_negatives(scores.detach())", "gradient"),
    (INFONCE, "identifiable: ClassVar[bool] = False", "identifiable: ClassVar[bool] = True", "invariance"),
    # Estimators that train nothing.
    (KSG, "psi(self.k) + psi(n)", "psi(self.k + 1) + psi(n)", "the exact model reads the truth"),
    (KSG, "_psi(n_x + 1)", "_psi(n_x)", "independence reads 0"),
    (KSG, "counts(x, y,", "counts(x - x.mean(0), y,", "estimates of runs do not mix"),
    (KSG, "- 1 / self.k)", "- 1 / self.k + 5)", "ceiling is reached"),
    (KSG, "- 1 / self.k)", "- 1)", "ceiling is not exceeded"),
    (CCA, "value - bias(n, dims)", "value", "independence reads 0"),
    (CCA, "value - bias(n, dims)", "1.5 * value - bias(n, dims)", "bound"),
    (GCMI, "return gaussian", "return -gaussian", "grows with the truth"),
    # Estimators that are read from a conditional density or a denoiser.
    (BA, "return batch.known", "return 0.9 * batch.known", "the exact model approaches the truth"),
    (BA, "return batch.known", "return 0.1 + batch.known", "bound"),
    (DOE, 'of_the_same_rows.mean(-1)', "0.0", "training finds the information"),
    (CLUB, "- self._negative(log_q)", "+ self._negative(log_q)", "training finds the information"),
    (CLUB, "mean_negatives(log_q)", "log_q.mean((-3, -2, -1)).expand(len(log_q))",
     "estimates of runs do not mix"),
    (L1OUT, "(positives(log_q) - others)", "(others - positives(log_q))", "bound"),
    (MMG, "(self.high - self.low) / 2 * gap", "(self.low - self.high) / 2 * gap",
     "training finds the information"),
    (MMG, '["free"].double()', '["free"].double().detach().mean(0)', "estimates of runs do not mix"),
    # Tasks.
    (UNIFORM_NOISE, "Truth.exactly(information)", "Truth.exactly(1.5 * information)",
     "mean log ratio is the truth"),
    (UNIFORM_NOISE, "(self.noise - math.log(2 * self.noise))", "(self.noise - math.log(self.noise))",
     "mean log ratio is the truth"),
    (UNIFORM_NOISE, "generator=generator, ", "", "generator"),
    (UNIFORM_NOISE, "self.dim * self.noise,", "2 * self.dim * self.noise,", "entropy"),
    (UNIFORM_NOISE, "log_density.unsqueeze(-2)", "log_density.unsqueeze(-1)", "conditional density"),
    (UNIFORM_NOISE, "-self.dim * math.log(2", "-self.dim * math.log(1", "normalised ratio"),
    (UNIFORM_NOISE, "return x.to(kind), ", "return x, ", "draws"),
    (UNIFORM_NOISE, '(Task):\n    r"""x', '(Task):\n    _ = r"""x', "documented"),
    (GAUSSIAN, "Truth.exactly(self._information)", "Truth.exactly(1.5 * self._information)",
     "mean log ratio is the truth"),
    (GAUSSIAN, "mi=nats, rho=None", "mi=nats / 2, rho=None", "levels"),
    # Models.
    (NORMALISED, "self.g(x) @", "self.g(x - x.mean(0)) @", "pairs do not mix"),
    (NORMALISED, "self.g(x) @", "self.g(x * 0) @", "inputs matter"),
    (JOINT, "return mlp(", "first = first - first.mean(0)\n        return mlp(", "runs do not mix"),
    (JOINT, "generator, dtype)", "torch.Generator().manual_seed(0), dtype)", "initial parameters"),
    (JOINT, "view(runs, n, m)", "view(runs, m, n).mT", "rows are x, columns are y"),
    (GAUSSIAN_MLP, "+ LOG_2_PI / 2", "+ LOG_2_PI", "densities integrate to 1"),
    (GAUSSIAN_MLP, "- log_s.sum(-1, keep", "+ log_s.sum(-1, keep", "pairs are the diagonal"),
    (NOISE_MLP, "log_snr / LOG_SNR_SCALE", "log_snr * 0", "inputs matter"),
    # Encoders.
    (LINEAR, 'return x @ parameters["a"]', 'return (x - x.mean(0)) @ parameters["a"]', "runs do not mix"),
    (LINEAR, "return self.dim, self.dim", "return self.dim, self.dim + 1", "representations"),
    (LINEAR, "(z @ parameters", "(z @ parameters.detach()", "gradient reaches every parameter"),
    (LINEAR, "source.draw(self.batch, generator,", "source.draw(self.batch, None,", "draws"),
    (MOCO, "query = self", 'state["queue"].mul_(0.5)\n        query = self', "loss"),
    (CPC, "math.log(candidates) - self", "math.log(candidates) + self", "own estimate"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "old", "new", "broken"), MUTANTS, ids=[f"{of[1]}: {new.strip()}" for of, _, new, _ in MUTANTS]
)
def test_each_error_is_named(of, old, new, broken, tmp_path):
    source, name, check = of
    subject = getattr(mutated(tmp_path, source, old, new), name)()
    with pytest.raises(ConformanceError) as caught:
        check(subject)
    assert f"  {broken}: FAILED" in str(caught.value)
