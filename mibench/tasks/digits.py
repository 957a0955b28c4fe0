"""Pairs of real images that share their classes: what image encoders are judged on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from mibench.errors import UsageError
from mibench.geometry import alignment, uniformity
from mibench.networks import check_sizes
from mibench.registry import DIGEST_SHOWN, Value, option
from mibench.tasks.base import Encode, Task
from mibench.tasks.images import LabelledImages, Part, load
from mibench.tasks.probe import confusion, predictions, table_information

DEFAULT_FLIP = 0.1

ENCODED_AT_ONCE = 512
"""So many images pass through an encoder at a time."""

ALIGNED_PAIRS = 2**13
UNIFORM_ROWS = 2048


@dataclass(frozen=True)
class Digits(Task):
    r"""Real images in pairs of one class, of which a channel makes another now and then.

    x is m images side by side, of classes c_1..c_m, drawn evenly over the M classes whatever their counts;
    c'_k = c_k with probability 1 - p, else one of the M - 1 others, all alike; x' has images of classes
    c'_1..c'_m. Within a class an image is drawn evenly, with replacement. As x and x' are independent given
    the classes, and the class is a function of the image,

        I(X;X') = m (log M - H(p) - p log(M - 1))   nats,   H(p) = -p log p - (1 - p) log(1 - p),

        log p(x,x')/p(x)p(x') = sum_k [ log M(1 - p) if c_k = c'_k else log M p/(M - 1) ],

    exactly, -inf where p = 0 and a class differs. Critics and encoders train on 60% of the images of each
    class; what is read out, and the truth of a representation, is of the others.

    Under the protocol `samples`, train and validation pairs are of the same images, so stopping is late; the
    test pairs are of others.

    For representations, encoded image by image, I lies between that and m times the exact information of the
    M x M table of classes which a linear probe, trained on the training images, predicts for test images.

    Raises:
        UsageError: mi and p together, mi beyond m log M, p beyond (M - 1)/M, or images that will not do.

    Reference: Alpaydin & Kaynak 1998, optical recognition of handwritten digits, UCI.
    """

    m: int | None = option(None, "images side by side (as few as the information needs if not given)")
    p: float | None = option(None, "probability that the channel changes a class (0.1 if mi is not given)")
    mi: float | None = option(None, "true mutual information in nats, in place of p")
    data: str | None = option(
        None, "an .npz file with images (N,H,W) and labels (N), in place of digits", identifies=False
    )
    sha256: str | None = option(None, "that of the file's contents; filled in", digest=True)

    name = "digits"
    reference: ClassVar[str] = "Alpaydin, Kaynak 1998, Optical recognition of handwritten digits, UCI"
    levels: ClassVar[Mapping[str, tuple[Value, ...]]] = {}
    source: ClassVar[str] = "images"
    unlabelled: ClassVar[tuple[str, ...]] = ("mi",)
    beside_encoders: ClassVar[tuple[str, ...]] = ("m", "p", "mi")

    def __post_init__(self) -> None:
        if self.data is None and self.sha256 is not None:
            raise UsageError(
                f"The file of the images with sha256 {self.sha256[:12]} is not given.",
                "Give its path as data (--data PATH); the contents identify it, whatever its name.",
            )
        found = self._images
        if self.sha256 is not None and not _begins(found.sha256 or "", self.sha256):
            raise UsageError(
                f"The images {self.data!r} are not those with sha256 {self.sha256[:12]}: "
                "the file has changed or is another one.",
                "Leave out sha256 to take the file as it is, or give the old file.",
            )
        object.__setattr__(self, "sha256", found.sha256)
        if self.mi is not None and self.p is not None:
            raise UsageError("mi and p are given together.", "Give one: each determines the other.")
        if self.m is not None:
            check_sizes(self.name, m=self.m)
        least = 1 - 1 / self.classes
        if self.p is not None and not 0 <= self.p <= least:
            raise UsageError(
                f"p of 'digits' must lie between 0 and {least:g}, not {self.p:g}.",
                f"At {least:g} the classes of {self.classes} are independent.",
            )
        if self.mi is None:
            return
        if not 0 <= self.mi < math.inf:
            raise UsageError(
                f"mi must be a finite number of nats, 0 or more, not {self.mi!r}.",
                "Mutual information is never negative.",
            )
        if self._needed > self.tiles:
            raise UsageError(
                f"{self.tiles} image{'s' * (self.tiles > 1)} of {self.classes} classes hold at most "
                f"{self.tiles * math.log(self.classes):.4g} nats, not {self.mi:g}.",
                f"Give m={self._needed} or more, or leave out m.",
            )

    @cached_property
    def _images(self) -> LabelledImages:
        return load(self.data)  # kept: the file may change while the task is in use

    @property
    def classes(self) -> int:
        """M."""
        return len(self._images.labels)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self._images.shape

    @property
    def _needed(self) -> int:
        return max(1, math.ceil((self.mi or 0.0) / math.log(self.classes) * (1 - 1e-12)))

    @property
    def tiles(self) -> int:
        """How many images are side by side: m."""
        return self._needed if self.m is None else self.m

    @cached_property
    def flip(self) -> float:
        """The channel's p: as given, or solved for mi."""
        if self.mi is None:
            return DEFAULT_FLIP if self.p is None else self.p
        return flip_of(min(self.mi / self.tiles, math.log(self.classes)), self.classes)

    @property
    def dim_x(self) -> int:
        """Number of pixels of the m images of x."""
        height, width = self.shape
        return self.tiles * height * width

    @property
    def dim_y(self) -> int:
        """Number of pixels of the m images of x'."""
        return self.dim_x

    @property
    def true_mi_nats(self) -> float:
        """I(X;X') = m (log M - H(p) - p log(M - 1))."""
        if self.mi is not None:
            return self.mi
        return self.tiles * channel_information(self.flip, self.classes)

    @cached_property
    def _tested(self) -> SameClass:
        return self._raw(self._images.test)

    @cached_property
    def training(self) -> SameClass:
        """The same pairs of other images: those that critics and encoders train on."""
        return self._raw(self._images.train)

    def _raw(self, part: Part) -> SameClass:
        exact = self.true_mi_nats
        pixels = part.pixels
        return SameClass(self._images, part, self.tiles, self.flip, pixels, pixels, (exact, exact))

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw n pairs of test images; x and x' have shape (n, m H W)."""
        return self._tested.sample(n, generator, dtype)

    def images(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n different test images, (n, H W)."""
        return self._tested.images(n, generator)

    def labelled(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n different test images, (n, H W), and their classes, (n)."""
        return self._tested.labelled(n, generator)

    def log_density_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log p(x_i,x'_j) / p(x_i)p(x'_j), shape (..., n, n), in float64."""
        return self._tested.log_density_ratio(x, y)

    def fewest(self) -> int:
        """Return the number of images in the smaller part."""
        return min(len(part.pixels) for part in (self._images.train, self._images.test))

    def check(self, n: int) -> None:
        """Raise a UsageError where a batch of n has more x than there are."""
        if self.fewest() ** self.tiles < n:
            raise UsageError(
                f"A batch of {n} is more than the {self.fewest() ** self.tiles} different x that "
                f"{self.fewest()} images make.",
                f"Give a smaller n, or m={self.tiles + 1}.",
            )

    def represented(self, encode_x: Encode, encode_y: Encode, generator: torch.Generator) -> SameClass:
        """Return the representations of the pair, encoded image by image, and the interval of their truth."""
        found = self._images
        z, other = (
            {id(part): _encoded(encode, part.pixels) for part in (found.train, found.test)}
            for encode in (encode_x, encode_y)
        )
        seen, seen_other = (
            self._confusion(side[id(found.train)], side[id(found.test)]) for side in (z, other)
        )
        joint = seen.mT @ channel(self.flip, self.classes) @ seen_other
        high = self.true_mi_nats
        interval = (min(self.tiles * table_information(joint), high), high)
        rows, rows_other = z[id(found.test)], other[id(found.test)]
        known = {
            "alignment": _alignment(found.test, rows, rows_other, generator),
            "uniformity": _uniformity(found.test, rows, generator),
            "probe_accuracy": seen.diagonal().mean().item(),
        }
        pairs = [
            SameClass(found, part, self.tiles, self.flip, z[id(part)], other[id(part)], interval, known)
            for part in (found.train, found.test)
        ]
        return replace(pairs[1], trained_on=pairs[0])

    def _confusion(self, train: Tensor, test: Tensor) -> Tensor:
        found = self._images
        predicted = predictions(train, found.train.classes, test)
        return confusion(predicted, found.test.classes, self.classes)


@dataclass(frozen=True, eq=False)
class SameClass(Task):
    """Pairs of rows, a row for each image of a part: its pixels, or its representation.

    It is not registered: no name can stand for it. The random numbers do not depend on what the rows are.

    Attributes:
        rows_x, rows_y: one row for each image of the part, as x and as x' has it.
        interval: holds I in nats.
        known: what else is known of the pair.
        trained_on: the same for the part that critics train on; None for itself.
    """

    source_images: LabelledImages
    part: Part
    tiles: int
    flip: float
    rows_x: Tensor
    rows_y: Tensor
    interval: tuple[float, float]
    known: Mapping[str, float] = field(default_factory=dict)
    trained_on: SameClass | None = None

    reference: ClassVar[str] = "this package"
    source: ClassVar[str] = "images"

    @property
    def dim_x(self) -> int:
        """Number of coordinates of the m rows of x."""
        return self.tiles * self.rows_x.shape[1]

    @property
    def dim_y(self) -> int:
        """Number of coordinates of the m rows of x'."""
        return self.tiles * self.rows_y.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.source_images.shape

    @property
    def mean(self) -> Tensor:
        """The mean image of the part, its classes weighing alike, (H, W)."""
        weights = self.part.weights
        return (weights @ self.part.pixels / weights.sum()).view(self.shape).float()

    @property
    def classes(self) -> int:
        """M."""
        return len(self.source_images.labels)

    @property
    def true_mi_nats(self) -> float:
        """I in nats where it is exact, else NaN."""
        low, high = self.interval
        return low if low == high else math.nan

    @property
    def true_mi_interval_nats(self) -> tuple[float, float]:
        """An interval that holds I in nats."""
        return self.interval

    @property
    def facts(self) -> Mapping[str, float]:
        """What else is known of the pair."""
        return self.known

    @property
    def training(self) -> SameClass:
        """The same pairs of the images that critics train on."""
        return self if self.trained_on is None else self.trained_on

    @property
    def knows_ratio(self) -> bool:
        """Whether the rows are pixels, which show their class."""
        return self.rows_x is self.part.pixels

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw n pairs."""
        x, y = self.places(n, generator)
        kind = torch.get_default_dtype() if dtype is None else dtype
        return tuple(  # type: ignore[return-value]
            rows.to(places.device)[places].flatten(1).to(kind)
            for rows, places in ((self.rows_x, x), (self.rows_y, y))
        )

    def places(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw the images of n pairs, as their places in the part: (n, m) of x and of x'."""
        device = generator.device if generator is not None else None
        size = (n, self.tiles)
        classes = torch.randint(self.classes, size, generator=generator, device=device)
        shift = torch.randint(1, self.classes, size, generator=generator, device=device)
        flip, first, second = torch.rand(3, *size, generator=generator, device=device, dtype=torch.float64)
        changed = torch.where(flip < self.flip, (classes + shift) % self.classes, classes)
        return self.part.within(classes, first), self.part.within(changed, second)

    def images(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n different images of the part, (n, H W)."""
        return self.labelled(n, generator)[0]

    def labelled(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n different images of the part, (n, H W), and their classes, (n)."""
        chosen = self.part.distinct(n, generator)
        return self.part.pixels[chosen].float(), self.part.classes[chosen]

    def log_density_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log density ratio of pixels, whose classes are those of the nearest images.

        Raises:
            NotImplementedError: the rows are representations.
        """
        if not self.knows_ratio:
            raise NotImplementedError("The density ratio of these representations is not known.")
        of_x, of_y = (
            self.source_images.classes_of(side.view(*side.shape[:-1], self.tiles, -1)).unbind(-1)
            for side in (x, y)
        )
        ratio = (self.classes * channel(self.flip, self.classes) * self.classes).log().to(x.device)
        # Class by class a table of M x M: p(c, c') / p(c) p(c') = M^2 p(c, c').
        terms = [ratio[a[..., :, None], b[..., None, :]] for a, b in zip(of_x, of_y, strict=True)]
        return torch.stack(terms).sum(0)


def _begins(sha256: str, given: str) -> bool:
    """Return whether a digest is the one given, of which a label shows the beginning."""
    return len(given) >= DIGEST_SHOWN and sha256.startswith(given)


def channel(flip: float, classes: int) -> Tensor:
    """Return p(c, c') of even classes, one of which becomes another with probability `flip`, (M, M)."""
    table = torch.full((classes, classes), flip / (classes - 1), dtype=torch.float64)
    return table.fill_diagonal_(1 - flip) / classes


def channel_information(flip: float, classes: int) -> float:
    """Return log M - H(p) - p log(M - 1) in nats."""
    stay = (1 - flip) * math.log1p(-flip)
    change = flip * math.log(flip / (classes - 1)) if flip else 0.0
    return max(0.0, math.log(classes) + stay + change)


def flip_of(information: float, classes: int) -> float:
    """Return the p in [0, (M - 1)/M] at which the channel has that information in nats."""
    from scipy.optimize import brentq

    top = 1 - 1 / classes
    if information >= math.log(classes):
        return 0.0
    if information <= 0:
        return top
    return float(
        brentq(lambda p: channel_information(p, classes) - information, 0.0, top, xtol=1e-300, rtol=1e-15)
    )


@torch.no_grad()
def _encoded(encode: Encode, pixels: Tensor) -> Tensor:
    """Return the representation of each image, in float64."""
    parts = [encode(some.float()) for some in torch.split(pixels, ENCODED_AT_ONCE)]
    return torch.cat(parts).double()


def _alignment(part: Part, rows: Tensor, other: Tensor, generator: torch.Generator) -> float:
    """Return the alignment of two different images of one class, classes drawn evenly."""
    classes = torch.randint(len(part.counts), (ALIGNED_PAIRS,), generator=generator)
    first, step = torch.rand(2, ALIGNED_PAIRS, generator=generator, dtype=torch.float64)
    counts = part.counts[classes]
    one = part.within(classes, first)
    start = part.within(classes, torch.zeros_like(first))
    two = start + (one - start + 1 + (step * (counts - 1)).long()) % counts
    return alignment(rows[one], other[two])


def _uniformity(part: Part, rows: Tensor, generator: torch.Generator) -> float:
    """Return the uniformity of the part's images, of at most 2048 of them."""
    return uniformity(rows[torch.randperm(len(part.pixels), generator=generator)[:UNIFORM_ROWS]])
