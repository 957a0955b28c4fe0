"""How data are met in training and where the estimate comes from: the protocols.

`samples[size=10000]` is a name with options, as estimators and tasks have; what a protocol does is in
`mibench.engine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mibench.errors import UsageError
from mibench.registry import Registry, option, real_number

STEPS_A_LEVEL = 4000
"""Steps of each stair in the published experiments."""


@dataclass(frozen=True)
class Protocol:
    """What all protocols have: nothing but a check of the other settings of a run."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]

    def check(self, n: int, steps: int) -> None:
        """Raise a UsageError where the protocol cannot work on batches of n with so many steps."""


@dataclass(frozen=True)
class Stream(Protocol):
    """A fresh batch each step; after training, the read-out on fresh data."""

    name = "stream"
    reference: ClassVar[str] = "this package"


@dataclass(frozen=True)
class Staircase(Protocol):
    """The papers' protocol: the true MI climbs while one critic goes on training.

    Each level has an equal share of the steps. A step's value is the estimator's value on its training batch,
    before the step. The estimate at a level is the mean, over the level's last `tail` share, of the whole
    curve smoothed by an exponentially weighted average of span `span` (Song & Ermon 2020, arXiv 1910.06222).
    Every estimate is of training batches; none of them was seen before.
    """

    levels: str = option("2/4/6/8/10", "true MI of each stair in nats; --mi sets it")
    span: int = option(200, "span of the exponentially weighted average; 1 smooths nothing")
    tail: float = option(0.5, "share of a level that counts, from its end")

    name = "staircase"
    reference: ClassVar[str] = "Poole et al. 2019, arXiv 1905.06922; Song, Ermon 2020, arXiv 1910.06222"

    def __post_init__(self) -> None:
        levels = [real_number(level, "a level of 'staircase'") for level in self.levels.split("/")]
        object.__setattr__(self, "levels", "/".join(repr(level).removesuffix(".0") for level in levels))
        if levels != sorted(set(levels)):
            raise UsageError(
                f"The levels of 'staircase' do not climb: {self.levels}.",
                "Give each level once, from the lowest to the highest, as in 2/4/6.",
            )
        if self.span < 1:
            raise UsageError(
                f"span of 'staircase' must be at least 1, not {self.span}.", "1 smooths nothing."
            )
        if not 0 < self.tail <= 1:
            raise UsageError(
                f"tail of 'staircase' must be above 0 and at most 1, not {self.tail!r}.",
                "0.5 reads the second half of each level.",
            )

    @property
    def stairs(self) -> tuple[float, ...]:
        """The levels as numbers."""
        return tuple(map(float, self.levels.split("/")))

    def check(self, n: int, steps: int) -> None:
        """Raise a UsageError where the steps do not divide into levels of which a tail can be read."""
        count = len(self.stairs)
        how = f"Give --steps as a multiple of {count}, such as {count * STEPS_A_LEVEL}."
        if steps % count:
            raise UsageError(f"{steps} steps do not divide into {count} levels.", how)
        if self.tail * (steps // count) < 2:
            raise UsageError(f"The last {self.tail:.0%} of a level has fewer than 2 steps.", how)


@dataclass(frozen=True)
class Samples(Protocol):
    """A fixed data set, split into train, validation and test; early stopping; the estimate from test alone.

    `size` pairs are drawn once a seed. The critic trains on batches of n without replacement, epoch by epoch.
    After the first step and every `every` steps the objective is taken on the validation part; the critic
    with the best value is kept, and training ends after `patience` values without a better one, or after the
    steps of the run. The read-out is on the batches of n that the test part has; the same on train and
    validation is stored beside it, so that the optimism of fitting and of selecting can be seen. Where no
    critic is better on validation than a constant one, the run reads 0 and its best step is 0.
    """

    size: int = option(10_000, "pairs in the data set; --samples sets it")
    train: float = option(0.6, "share of the pairs that train the critic")
    validation: float = option(0.2, "share of the pairs that decide when to stop; the rest is the test part")
    every: int = option(25, "steps between two values on the validation part")
    patience: int = option(10, "values on the validation part without a better one before training ends")

    name = "samples"
    reference: ClassVar[str] = "this package"

    def __post_init__(self) -> None:
        for key in ("size", "every", "patience"):
            value = getattr(self, key)
            if value < 1:
                raise UsageError(f"{key} of 'samples' must be at least 1, not {value}.", "Give 1 or more.")
        if min(self.train, self.validation) <= 0 or self.train + self.validation >= 1:
            raise UsageError(
                f"train={self.train:g} and validation={self.validation:g} leave a part empty.",
                "Both must be above 0, and their sum below 1: the rest is the test part.",
            )

    @property
    def parts(self) -> tuple[int, int, int]:
        """Pairs in the train, validation and test part."""
        train, both = round(self.train * self.size), round((self.train + self.validation) * self.size)
        return train, both - train, self.size - both

    def check(self, n: int, steps: int) -> None:
        """Raise a UsageError where a part has fewer than two batches of n."""
        names = ("train", "validation", "test")
        rows, part = min(zip(self.parts, names, strict=True))
        if rows < 2 * n:
            raise UsageError(
                f"{self.size} samples have {rows} rows in the {part} part: "
                f"fewer than two batches of n = {n}.",
                f"Give n of at most {rows // 2}, or more samples." if rows >= 4 else "Give more samples.",
            )


registry: Registry[Protocol] = Registry("protocol", "mibench.protocols", unlabelled=("size",))
