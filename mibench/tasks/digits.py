"""Pairs of real images of equal or changed class: the task on which image encoders are evaluated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims
from mibench.errors import UsageError
from mibench.geometry import alignment, uniformity
from mibench.options import DIGEST_SHOWN, Value, option
from mibench.tasks.base import Task
from mibench.tasks.enumeration import Side, joint_information, log_ratio, of_table
from mibench.tasks.images import LabelledImages, Part, load
from mibench.tasks.pair import Draw, Encode, Pair, Pairwise, Truth
from mibench.tasks.probe import confusion, predictions, table_information
from mibench.validation import check_sizes

DEFAULT_FLIP = 0.1

ENUMERATED = "enumeration of equal representations"

ENCODED_AT_ONCE = 512
"""Images are encoded this many at a time."""

ALIGNED_PAIRS = 2**13
UNIFORM_ROWS = 2048


@dataclass(frozen=True)
class Digits(Task):
    r"""Pairs of real images; with probability p the second image's class is replaced by another.

    x is m images side by side, of classes c_1..c_m, drawn uniformly over the M classes;
    c'_k = c_k with probability 1 - p, else one of the M - 1 others, all alike; x' has images of classes
    c'_1..c'_m. Within a class an image is drawn evenly, with replacement. As x and x' are independent given
    the classes, and the class is a function of the image,

        I(X;X') = m (log M - H(p) - p log(M - 1))   nats,   H(p) = -p log p - (1 - p) log(1 - p),

        log p(x,x')/p(x)p(x') = sum_k [ log M(1 - p) if c_k = c'_k else log M p/(M - 1) ],

    exactly, -inf where p = 0 and a class differs. Critics and encoders train on 60% of the images of each
    class; estimates, and the truth of a representation, are of the others.

    Under the protocol `samples`, train and validation pairs are of the same images, so stopping is late; the
    test pairs are of others.

    Representations are encoded image by image, and as the images are finitely many, their information is
    exact as well: all of I(X;X') if the encoder maps images of different classes to different points, else m
    times the information of the table of equal representations of the test images,

        sum_zz' p(z) p(z') r log r,   r = sum_cc' P(c | z) P(c' | z') p(c, c') / p(c) p(c'),

    with log density ratio log r. Representations, and images, are equal up to 2^-20 of the largest magnitude
    of each coordinate, or if equal ones connect them (`equal_rows`). Beside it stands what a linear probe can
    tell: m times the exact information of the M x M table of classes which the probe, trained on the training
    images, predicts for test images.

    Raises:
        UsageError: mi and p together, mi beyond m log M, p beyond (M - 1)/M, or unusable images.

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
    unlabelled: ClassVar[tuple[str, ...]] = ("mi",)
    beside_encoders: ClassVar[tuple[str, ...]] = ("m", "p", "mi")

    def __post_init__(self) -> None:
        if self.data is None and self.sha256 is not None:
            raise UsageError(
                f"The file of the images with sha256 {self.sha256[:12]} is not given.",
                "Give its path as data (--data PATH); the contents identify it, not its name.",
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

    def pair(self) -> Pair:
        """Return the pair of test images, whose models train on that of training images."""
        found = self._images
        information = (
            self.tiles * channel_information(self.flip, self.classes) if self.mi is None else self.mi
        )
        known = of_table(found.classes_of, found.classes_of, self._ratio.log(), self.tiles)
        test, train = (
            self._pair(part, part.pixels, part.pixels, Truth.exactly(information), known)
            for part in (found.test, found.train)
        )
        return replace(test, training=train)

    def at(self, nats: float) -> Digits:
        """Return the same task at another true MI."""
        return replace(self, mi=nats, p=None)

    def encoder_source(self, training: bool) -> ImageSource:
        """Return the training or the test images."""
        found = self._images
        return ImageSource(found, found.train if training else found.test, self.tiles)

    def check(self, n: int) -> None:
        """Raise a UsageError where a batch of n has more x than there are."""
        fewest = self.encoder_source(training=True).fewest
        if fewest**self.tiles < n:
            raise UsageError(
                f"A batch of {n} is more than the {fewest**self.tiles} different x of {fewest} images.",
                f"Give a smaller n, or m={self.tiles + 1}.",
            )

    def represented(self, encode_x: Encode, encode_y: Encode, generator: torch.Generator) -> Pair:
        """Return the representations of the pair, encoded image by image, whose information is exact."""
        found = self._images
        parts = (found.test, found.train)
        z, other = ([_encoded(encode, part.pixels) for part in parts] for encode in (encode_x, encode_y))
        seen, seen_other = self._confusion(*z), self._confusion(*other)
        joint = seen.mT @ channel(self.flip, self.classes) @ seen_other
        facts = {
            "alignment": _alignment(found.test, z[0], other[0], generator),
            "uniformity": _uniformity(found.test, z[0], generator),
            "probe_accuracy": seen.diagonal().mean().item(),
            "probe_nats": self.tiles * table_information(joint),
        }
        test, train = (self._enumerated(*rows) for rows in zip(parts, z, other, strict=True))
        return replace(test, facts=facts, training=train)

    def _confusion(self, test: Tensor, train: Tensor) -> Tensor:
        found = self._images
        predicted = predictions(train, found.train.classes, test)
        return confusion(predicted, found.test.classes, self.classes)

    def _enumerated(self, part: Part, rows_x: Tensor, rows_y: Tensor) -> Pair:
        """Return the pair of the representations of a part's images, equal ones being one."""
        x, y = (Side.of(rows, part.classes, part.weights / self.classes) for rows in (rows_x, rows_y))
        most = self.true_mi_nats
        # Where both sides tell the class nothing is lost, and rounding must not say otherwise.
        keeps_all = x.tells_class and y.tells_class
        nats = most if keeps_all else min(most, self.tiles * joint_information(x, y, self._ratio))
        truth = Truth.exactly(nats, ENUMERATED)
        return self._pair(part, rows_x, rows_y, truth, log_ratio(x, y, self._ratio, self.tiles))

    @property
    def _ratio(self) -> Tensor:
        """p(c, c') / p(c) p(c'), (M, M)."""
        return self.classes * channel(self.flip, self.classes) * self.classes

    def _pair(self, part: Part, rows_x: Tensor, rows_y: Tensor, truth: Truth, log_ratio: Pairwise) -> Pair:
        """Return the pair of rows, one for each image of a part.

        The random numbers do not depend on what the rows are: pixels or representations.
        """
        dims = Dims(self.tiles * rows_x.shape[1], self.tiles * rows_y.shape[1])
        return Pair(dims, truth, self._drawn(part, rows_x, rows_y), log_ratio)

    def _drawn(self, part: Part, rows_x: Tensor, rows_y: Tensor) -> Draw:
        def draw(
            n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
        ) -> tuple[Tensor, Tensor]:
            kind = torch.get_default_dtype() if dtype is None else dtype
            x, y = self._places(part, n, generator)
            return rows_of(rows_x, x, kind), rows_of(rows_y, y, kind)

        return draw

    def _places(self, part: Part, n: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw the images of n pairs, as their places in a part: (n, m) of x and of x'."""
        device = generator.device if generator is not None else None
        size = (n, self.tiles)
        classes = torch.randint(self.classes, size, generator=generator, device=device)
        shift = torch.randint(1, self.classes, size, generator=generator, device=device)
        flip, first, second = torch.rand(3, *size, generator=generator, device=device, dtype=torch.float64)
        changed = torch.where(flip < self.flip, (classes + shift) % self.classes, classes)
        return part.within(classes, first), part.within(changed, second)


@dataclass(frozen=True, eq=False)
class ImageSource:
    """The images of a part, as encoders are trained on them.

    Attributes:
        tiles: number of images side by side in x.
    """

    all: LabelledImages
    part: Part
    tiles: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""
        return self.all.shape

    @property
    def mean(self) -> Tensor:
        """The mean image of the part, with equal weight for each class, (H, W)."""
        weights = self.part.weights
        return (weights @ self.part.pixels / weights.sum()).view(self.shape).float()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.all.labels)

    @property
    def fewest(self) -> int:
        """Number of images in the smaller part."""
        return min(len(part.pixels) for part in (self.all.train, self.all.test))

    def images(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n different images of the part, (n, H W)."""
        return self.labelled(n, generator)[0]

    def labelled(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n different images of the part, (n, H W), and their classes, (n)."""
        chosen = self.part.distinct(n, generator)
        return self.part.pixels[chosen].float(), self.part.classes[chosen]


def rows_of(rows: Tensor, places: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the rows at places (n, m), side by side: (n, m * dim)."""
    return rows.to(places.device)[places].flatten(1).to(dtype)


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
