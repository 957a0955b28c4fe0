"""Labelled images in two disjoint parts: one for training, one for evaluation."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mibench.errors import UsageError
from mibench.seeding import stream
from mibench.tasks.enumeration import Nearest, equal_rows

TRAINING_SHARE = 0.6
LEAST_IN_A_PART = 2
LEAST_SIDE = 4

Array = NDArray[Any]

_HOW_FILE = "Give an .npz file with arrays images (N, H, W) and labels (N): numpy.savez writes it."


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one part, ordered by class.

    Attributes:
        pixels: (N, H * W), in float64.
        counts: how many images each of the M classes has here, (M).
    """

    pixels: Tensor
    counts: Tensor

    @cached_property
    def classes(self) -> Tensor:
        """The class of each image, (N)."""
        return torch.repeat_interleave(torch.arange(len(self.counts)), self.counts)

    @cached_property
    def _starts(self) -> Tensor:
        return self.counts.cumsum(0) - self.counts

    @cached_property
    def weights(self) -> Tensor:
        """What makes the classes weigh alike, (N)."""
        return 1 / self.counts[self.classes].double()

    def within(self, classes: Tensor, uniform: Tensor) -> Tensor:
        """Return an image of each class given, chosen by a number in [0, 1), as its place."""
        counts, starts = self.counts.to(classes.device), self._starts.to(classes.device)
        return starts[classes] + (uniform * counts[classes]).long()

    def distinct(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Return the places of n images, none twice, of every class about as many."""
        return torch.multinomial(self.weights, n, replacement=False, generator=generator)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images of M classes, 60% of each class for training and the rest to test.

    Equal images count once (`equal_rows`). All are divided by the largest value of a training image. The
    split depends on the class and its count alone.

    Attributes:
        shape: height and width.
        labels: what the classes are called, in order.
        sha256: that of the file's contents; None for the images that come with scikit-learn.
    """

    train: Part
    test: Part
    shape: tuple[int, int]
    labels: tuple[int, ...]
    sha256: str | None = None

    @cached_property
    def classes_of(self) -> Nearest:
        """The classes of images by their pixels, whichever is nearest: (..., H * W) -> (...)."""
        pixels = torch.cat([self.train.pixels, self.test.pixels])
        return Nearest(pixels, torch.cat([self.train.classes, self.test.classes]))


def load(path: str | None) -> LabelledImages:
    """Return the images of a file, or those that come with scikit-learn (8x8 digits of ten classes).

    Raises:
        UsageError: the file cannot be read, or its images cannot be parted.
    """
    if path is None:
        return _digits()
    file = Path(path).expanduser()
    try:
        status = file.stat()
    except OSError as error:
        raise UsageError(f"The images {path!r} cannot be read: {error.strerror}.", _HOW_FILE) from error
    return _file(str(file.resolve()), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)
def _digits() -> LabelledImages:
    from sklearn.datasets import load_digits

    found = load_digits()
    return parted(found.images, found.target)


@lru_cache(maxsize=4)
def _file(path: str, modified: int, size: int) -> LabelledImages:
    """Return the images of a file; one that changes is read anew."""
    try:
        contents = Path(path).read_bytes()
        loaded = np.load(io.BytesIO(contents), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise UsageError(f"{path!r} holds a single array.", _HOW_FILE)
        with loaded as file:
            for key in ("images", "labels"):
                if key not in file.files:
                    raise UsageError(f"{path!r} has no array {key!r}.", _HOW_FILE)
            images, labels = file["images"], file["labels"]
    except UsageError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"The images {path!r} cannot be read: {error}.", _HOW_FILE) from error
    return parted(images, labels, hashlib.sha256(contents).hexdigest())


def parted(images: Array, labels: Array, sha256: str | None = None) -> LabelledImages:
    """Return images (N, H, W) and their labels (N) in two parts.

    Raises:
        UsageError: labels are missing, images are too small, too few or not numbers, fewer than two classes,
            or one image under two labels.
    """
    numbers = _checked_images(images)
    names, classes = np.unique(_checked_labels(labels, len(images)), return_inverse=True)
    if len(names) < 2:
        raise UsageError(
            f"The images are of {len(names)} class{'es' * (len(names) != 1)}.",
            "Give images of two classes or more: pairs share their class, and nothing else.",
        )
    numbers, classes = _once_each(numbers, classes, names)
    train, test = [], []
    for place, label in enumerate(names):
        found = np.flatnonzero(classes == place)
        count = round(TRAINING_SHARE * len(found))
        if min(count, len(found) - count) < LEAST_IN_A_PART:
            raise UsageError(
                f"Class {label} has {len(found)} image{'s' * (len(found) != 1)}: too few for both parts.",
                f"Give at least {2 * LEAST_IN_A_PART} different images of each class, or leave it out.",
            )
        order = torch.randperm(len(found), generator=stream("digits split", place, len(found))).numpy()
        train.append(found[order[:count]])
        test.append(found[order[count:]])
    pixels = torch.from_numpy(numbers).flatten(1)
    largest = pixels[np.concatenate(train)].abs().amax()
    parts = [
        Part(pixels[np.concatenate(part)] / largest.clamp_min(1e-300), torch.tensor([len(c) for c in part]))
        for part in (train, test)
    ]
    height, width = numbers.shape[1:]
    return LabelledImages(parts[0], parts[1], (height, width), tuple(int(name) for name in names), sha256)


def _checked_images(images: Array) -> Array:
    if images.ndim != 3 or min(images.shape[1:]) < LEAST_SIDE:
        raise UsageError(
            f"images must have shape (N, H, W) with H and W of at least {LEAST_SIDE}, not {images.shape}.",
            "Give one grey image a row; average the channels of coloured ones.",
        )
    if images.dtype.kind not in "buif" or not np.isfinite(images).all():
        raise UsageError("Some images are not made of finite numbers.", "Leave those images out.")
    # In float32, the type that critics see.
    numbers: Array = images.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise UsageError("Some pixels are beyond float32.", "Divide the images by their largest value.")
    return numbers.astype(np.float64)


def _checked_labels(labels: Array, count: int) -> Array:
    if labels.shape != (count,):
        raise UsageError(
            f"There are {count} images, and labels have shape {labels.shape}.",
            "Give one label for each image.",
        )
    known = np.zeros(count, dtype=bool)
    if labels.dtype.kind in "buif":
        with np.errstate(invalid="ignore"):
            known = np.isfinite(labels) & (labels >= 0) & (labels == np.floor(labels)) & (labels < 2.0**53)
    else:
        raise UsageError(f"labels are of type {labels.dtype}.", "Number the classes: 0, 1, 2, ...")
    if not known.all():
        raise UsageError(
            f"{count - known.sum()} of {count} labels are missing: not a whole number of 0 or more.",
            "Leave those images out, or give their labels.",
        )
    return labels.astype(np.int64)


def _once_each(images: Array, classes: Array, names: Array) -> tuple[Array, Array]:
    """Return the images without repetitions, in their order, and their classes."""
    groups = equal_rows(torch.from_numpy(images).flatten(1)).numpy()
    _, first, same = np.unique(groups, return_index=True, return_inverse=True)
    other = np.flatnonzero(classes != classes[first[same]])
    if len(other):
        twice = other[0]
        twin = first[same[twice]]
        raise UsageError(
            f"Images {twin} and {twice} are identical, with labels {names[classes[twin]]} and "
            f"{names[classes[twice]]}: the class is no function of the image.",
            "Leave such images out, or correct their labels. Images are identical where float32 hardly tells "
            "them apart: where no pixel differs by more than a millionth of its largest value.",
        )
    kept = np.sort(first)
    return images[kept], classes[kept]
