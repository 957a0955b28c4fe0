"""A vector autoregression seen through a nonlinear map: what contrastive predictive coding is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims
from mibench.errors import UsageError
from mibench.registry import Value, option
from mibench.seeding import stream
from mibench.tasks.base import Task
from mibench.tasks.normal import Normal, rotation
from mibench.tasks.pair import Encode, Pair, Truth, encoded
from mibench.tasks.regression import REGRESSION_CONFIDENCE, barber_agakov
from mibench.validation import check_sizes, check_whole

MOST_KEPT = 0.999999
STRETCH = 4.0
"""Of the map g: so much that a linear encoder does not undo it."""


@dataclass(frozen=True)
class CPC(Task):
    r"""The past of a stationary vector autoregression and its state `horizon` steps ahead.

        z_t = a R z_(t-1) + sqrt(1 - a^2) e_t,   s_t = z_t + noise * u_t,   x_t = g(s_t) = asinh(4 W s_t),

    with e, u ~ N(0, 1) in `dim` coordinates, a fixed rotation R, and W with `observed` rows and orthonormal
    columns, so g is injective. The pair is x = (x_(t-past+1), ..., x_t), flattened, of past * observed
    coordinates, and y = s_(t+horizon), which knows as much as x_(t+horizon). Without noise

        I(X;Y) = -dim/2 log(1 - a^(2 horizon))   nats;

    with noise the observations are not Markov, and I is that of the Gaussian covariances of all steps of the
    past. For an encoder of the past, c = f(x), data processing gives I(C;Y) <= I(X;Y), and for any density q

        I(C;Y) >= h(Y) + E log q(Y | C),

    here with a Gaussian linear regression q fitted on other data, less three standard errors of the mean.

    Raises:
        UsageError: sizes below 1, observed below dim, |a| outside (0, 1), noise below 0, a horizon that does
            not fit into the sequence.

    Reference: van den Oord et al. 2018, arXiv 1807.03748; Barber & Agakov 2003, NeurIPS.
    """

    dim: int = option(4, "coordinates of the state")
    a: float = option(0.9, "how much of a state the next one keeps")
    horizon: int = option(1, "prediction horizon: steps from the end of the past to the predicted state")
    past: int = option(8, "steps of the past")
    length: int = option(16, "steps of a sequence: the past and what follows")
    observed: int = option(16, "coordinates of an observation")
    noise: float = option(0.0, "standard deviation of the observation noise (the state's is 1)")

    name = "cpc"
    reference: ClassVar[str] = "van den Oord, Li, Vinyals 2018, arXiv 1807.03748"
    default_encoder: ClassVar[str] = "cpc"
    levels: ClassVar[Mapping[str, tuple[Value, ...]]] = {"horizon": (1, 4, 8)}
    unlabelled: ClassVar[tuple[str, ...]] = ()
    beside_encoders: ClassVar[tuple[str, ...]] = ("horizon",)

    def __post_init__(self) -> None:
        check_whole(self.name, length=self.length)
        check_sizes(self.name, dim=self.dim, horizon=self.horizon, past=self.past, observed=self.observed)
        if self.past + self.horizon > self.length:
            raise UsageError(
                f"A horizon of {self.horizon} after a past of {self.past} is longer than the sequence, which "
                f"has {self.length} steps.",
                f"Give a shorter horizon, or length of at least {self.past + self.horizon}.",
            )
        if self.observed < self.dim:
            raise UsageError(
                f"{self.observed} coordinates cannot show a state of {self.dim}: the map is not injective.",
                f"Give observed of at least {self.dim}.",
            )
        if not 0 < abs(self.a) <= MOST_KEPT:
            raise UsageError(
                f"a of {self.name!r} must lie between 0 and {MOST_KEPT}, not {self.a:.10g}.",
                "The sequence would not be stationary, its steps independent, or beyond float32.",
            )
        if self.noise < 0:
            raise UsageError(f"noise of {self.name!r} must be 0 or more, not {self.noise:g}.", "0 is none.")

    def pair(self) -> Pair:
        """Return the pair, of which everything is known."""
        return Pair(
            Dims(self.past * self.observed, self.dim),
            Truth.exactly(self._normal.information),
            self._draw,
            lambda x, y: self._normal.log_ratio(self._states_seen(x), y),
            lambda x, y: self._normal.log_conditional(self._states_seen(x), y),
            self._normal.entropy_y,
        )

    def encoder_source(self, training: bool) -> CPC:
        """Return the task itself: encoders are trained on whole sequences."""
        return self

    @cached_property
    def _turn(self) -> Tensor:
        return rotation(self.dim, stream("cpc rotation", self.dim))

    @cached_property
    def _mixing(self) -> Tensor:
        """W, (observed, dim) with orthonormal columns."""
        return rotation(self.observed, stream("cpc mixing", self.observed))[:, : self.dim]

    def _covariance(self, steps: list[int]) -> Tensor:
        """Return the covariance of s at some steps of a sequence, step by step."""
        noise = self.noise**2 * torch.eye(self.dim, dtype=torch.float64)
        rows = [torch.cat([self._lagged(i - j) + (noise if i == j else 0) for j in steps], 1) for i in steps]
        return torch.cat(rows)

    def _lagged(self, lag: int) -> Tensor:
        """Return E[z_(t + lag) z_t']: a^|lag| R^lag."""
        power: Tensor = torch.linalg.matrix_power(self._turn, abs(lag)) * self.a ** abs(lag)
        return power if lag >= 0 else power.mT

    @property
    def _steps(self) -> list[int]:
        """The steps of the pair: the past, and the predicted one."""
        return [*range(self.past), self.past - 1 + self.horizon]

    @cached_property
    def _normal(self) -> Normal:
        """The pair in the coordinates of s."""
        if self.noise == 0:  # the last state of the past tells all
            last = self._covariance([0])
            return Normal.of(last, last, self._lagged(-self.horizon))
        whole, split = self._covariance(self._steps), self.past * self.dim
        return Normal.of(whole[:split, :split], whole[split:, split:], whole[:split, split:])

    @cached_property
    def _roots(self) -> tuple[Tensor, Tensor]:
        """Cholesky factors of the covariance of the pair, and of a whole sequence."""
        pair, sequence = self._covariance(self._steps), self._covariance(list(range(self.length)))
        return torch.linalg.cholesky(pair), torch.linalg.cholesky(sequence)

    def _states(
        self, root: Tensor, n: int, generator: torch.Generator | None, dtype: torch.dtype | None
    ) -> Tensor:
        device = generator.device if generator is not None else None
        white = torch.randn(n, len(root), generator=generator, dtype=dtype, device=device)
        return (white @ root.mT.to(white)).view(n, -1, self.dim)

    def _seen(self, states: Tensor) -> Tensor:
        """Return g(s)."""
        return torch.asinh(STRETCH * states @ self._mixing.mT.to(states))

    def _draw(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        states = self._states(self._roots[0], n, generator, dtype)
        return self._seen(states[:, :-1]).flatten(1), states[:, -1]

    def sequences(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n whole sequences of observations, (n, length, observed), for the training of encoders."""
        return self._seen(self._states(self._roots[1], n, generator, torch.float32))

    def _states_seen(self, x: Tensor) -> Tensor:
        """Return the states of the past that tell of the future, undoing g: the last one without noise."""
        observed = x.double().reshape(*x.shape[:-1], self.past, self.observed)
        states = observed.sinh() @ self._mixing / STRETCH
        return states[..., -1, :] if self.noise == 0 else states.flatten(-2)

    def represented(self, encode_x: Encode, encode_y: Encode, generator: torch.Generator) -> Pair:
        """Return the pair (c, s_(t+horizon)) with an interval: Barber & Agakov's bound, and the past's."""
        pair = self.pair()
        high = pair.truth.high
        seen = encoded(pair, encode_x, encode_y, Truth.unknown())
        low = barber_agakov(seen.draw, self._covariance([0]), generator)
        how = "Gaussian regression and data processing"
        truth = Truth(min(max(low, 0.0), high), high, how, REGRESSION_CONFIDENCE)
        return replace(seen, truth=truth, entropy_y=pair.entropy_y)
