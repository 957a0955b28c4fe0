"""Training encoders in packs, seeds of one recipe at once, and the pairs that they make of a task's."""

from __future__ import annotations

import hashlib
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mibench import encoders, tasks
from mibench.batch import Tensors
from mibench.encoders.base import Encoder
from mibench.engine.data import stack_runs
from mibench.engine.device import matmul_precision
from mibench.engine.loop import Trainer, train
from mibench.errors import in_words
from mibench.geometry import direction_spread, effective_rank
from mibench.limits import ABSURD_NATS
from mibench.registry import Choice
from mibench.seeding import stream
from mibench.spec import EncoderSpec, RunSpec
from mibench.tasks.base import Encodable
from mibench.tasks.pair import Encode, Pair, scaled

logger = logging.getLogger(__name__)

OWN_BATCHES = 32
"""The recipe's own estimate is the mean over this many unseen batches."""

TIMED_STEPS = 3

EVALUATED_ROWS = 2048
"""Representations are evaluated on this many rows."""

COLLAPSED = 0.01
"""Representations whose directions spread less than this are one (1 is spread to all sides, 0 is a point)."""


@dataclass(frozen=True, eq=False)
class TrainedEncoder:
    """An encoder of one seed: its parameters, or a message that says why it has none that count.

    Copies are equal, also those that another process is given.
    """

    spec: EncoderSpec
    parameters: Tensors = field(repr=False)
    state: Tensors = field(repr=False)
    message: str = ""
    wall_s: float = 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainedEncoder) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @cached_property
    def _content(self) -> tuple[EncoderSpec, str, bytes]:
        digest = hashlib.sha256()
        for name, value in sorted(self.arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
        return self.spec, self.message, digest.digest()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything that was trained, as arrays by name."""
        sides = {"trained": self.parameters, "carried": self.state}
        return {f"{side}/{key}": value.numpy() for side, kept in sides.items() for key, value in kept.items()}

    @classmethod
    def from_arrays(cls, spec: EncoderSpec, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the encoder that `arrays` came from."""
        sides: dict[str, Tensors] = {"trained": {}, "carried": {}}
        for name, value in arrays.items():
            side, _, key = name.partition("/")
            sides[side][key] = torch.from_numpy(value)
        return cls(spec, sides["trained"], sides["carried"])


@dataclass(frozen=True)
class Representation:
    """The pair of representations that an encoder makes of a task's, with what is known of it.

    `pair` is None where the encoder failed, and `message` says why.
    """

    pair: Pair | None
    facts: Mapping[str, float]
    message: str


@lru_cache(maxsize=4096)
def _encoder_of(encoder: Choice, task: Choice, seed: int) -> EncoderSpec:
    beside = tasks.registry.load(task.name).beside_encoders
    options = {key: value for key, value in task.arguments.items() if key not in beside}
    return EncoderSpec(encoder, tasks.registry.from_options(task.name, options), seed)


def encoder_of(spec: RunSpec) -> EncoderSpec | None:
    """Return the encoder whose representation a run sees, None for none."""
    return None if spec.encoder is None else _encoder_of(spec.encoder, spec.task, spec.seed)


def encoder_packs(specs: Sequence[RunSpec]) -> list[list[EncoderSpec]]:
    """Return the encoders of runs, each once, in packs of one recipe and task."""
    packs: dict[tuple[Choice, Choice], list[EncoderSpec]] = {}
    for found in dict.fromkeys(map(encoder_of, specs)):
        if found is not None:
            packs.setdefault((found.encoder, found.task), []).append(found)
    return list(packs.values())


def train_encoders(
    pack: Sequence[EncoderSpec], device: torch.device, report: Callable[[int], None] = lambda steps: None
) -> list[TrainedEncoder]:
    """Train the encoders of a pack, which differ in their seed alone, as one tensor program.

    One that diverges comes back with a message that says so; the others go on without it. After an error in
    a pack of several, each is trained alone.
    """
    started = time.perf_counter()
    try:
        trained, state, diverged_at = _train(pack, device, report)
    except Exception as error:
        if len(pack) > 1:
            return [done for spec in pack for done in train_encoders([spec], device)]
        logger.error("Encoder %s failed.", pack[0].encoder.label, exc_info=error)
        return [
            TrainedEncoder(pack[0], {}, {}, f"the encoder failed: {in_words(error)}", _share(started, pack))
        ]
    found = []
    for place, spec in enumerate(pack):
        step, parameters = diverged_at[place], _alone(trained, place)
        message = f"the encoder diverged: its loss is not finite at step {step}" if step else ""
        if not message and not all(value.isfinite().all() for value in parameters.values()):
            message = "the encoder diverged: its parameters are not finite after the last step"
        found.append(TrainedEncoder(spec, parameters, _alone(state, place), message, _share(started, pack)))
    return found


def seconds_to_train(pack: Sequence[EncoderSpec], device: torch.device) -> float:
    """Return about how long the encoders of a pack train, measured by a few steps."""
    recipe = encoders.registry.make(pack[0].encoder)
    if recipe.steps <= TIMED_STEPS:
        return 0.0
    _train(pack, device, lambda steps: None, most_steps=1)
    started = time.perf_counter()
    _train(pack, device, lambda steps: None, most_steps=TIMED_STEPS)
    return (time.perf_counter() - started) * recipe.steps / TIMED_STEPS


def _share(started: float, pack: Sequence[EncoderSpec]) -> float:
    return (time.perf_counter() - started) / len(pack)


def _alone(tensors: Tensors, place: int) -> Tensors:
    return {key: value[place].detach().cpu() for key, value in tensors.items()}


@matmul_precision("float32")
def _train(
    pack: Sequence[EncoderSpec],
    device: torch.device,
    report: Callable[[int], None],
    most_steps: int = sys.maxsize,
) -> tuple[Tensors, Tensors, list[int | None]]:
    """Return the parameters and states of all runs, and where the loss of each was not finite."""
    recipe = encoders.registry.make(pack[0].encoder)
    source = tasks.registry.make(pack[0].task).encoder_source(training=True)
    initial = [recipe.initialise(source, stream("encoder weights", *_name(spec))) for spec in pack]
    beside = [
        recipe.state(first, stream("encoder state", *_name(spec)))
        for first, spec in zip(initial, pack, strict=True)
    ]
    parameters, state = _placed(initial, device), _placed(beside, device)
    steps = min(recipe.steps, most_steps)
    if not parameters or steps == 0:
        return parameters, state, [None] * len(pack)
    trainer: Trainer[Tensors] = Trainer(
        parameters,
        state,
        lambda parameters, state, batch: (-recipe.loss(parameters, state, batch), None),
        recipe.lr,
        recipe.after_step,
    )
    feeds = [stream("encoder data", *_name(spec)) for spec in pack]
    chunks = ([_placed([recipe.draw(source, feed) for feed in feeds], device)] for _ in range(steps))
    diverged_at = train(lambda batch, done: trainer.step(batch)[0], chunks, steps, report)
    return trainer.parameters, trainer.state, diverged_at


def _name(spec: EncoderSpec) -> tuple[object, ...]:
    """What an encoder's randomness depends on: task and seed alone, so that all recipes use the same data."""
    return spec.task.identity, spec.seed


def _placed(runs: Sequence[Tensors], device: torch.device) -> Tensors:
    return {key: value.to(device) for key, value in stack_runs(runs).items()}


@lru_cache(maxsize=256)
@matmul_precision("float32")
def represent(task: Choice, made: TrainedEncoder) -> Representation:
    """Return the pair that an encoder makes of a task's, on data that the encoder has not seen.

    Its coordinates are centred and scaled, which leaves its information as it is: encoders choose their
    scale, and objectives with exp(f) fail where it is large.
    One that collapsed, or whose truth cannot be enclosed, has a message and no pair.
    """
    if made.message:
        return Representation(None, {}, made.message)
    recipe, own_task = encoders.registry.make(made.spec.encoder), tasks.registry.make(task)
    assert isinstance(own_task, Encodable)
    source = own_task.encoder_source(training=False)
    encode_x, encode_y = _encode(recipe.encode_x, made.parameters), _encode(recipe.encode_y, made.parameters)
    try:
        pair = own_task.represented(encode_x, encode_y, stream("encoder truth", *_name(made.spec)))
        x, _ = pair.draw(EVALUATED_ROWS, stream("encoder judged", *_name(made.spec)), torch.float64)
    except FloatingPointError as error:
        return Representation(None, {}, f"the encoder diverged: {error}")
    except (ValueError, RuntimeError, ArithmeticError) as error:
        words = str(error).partition("\n")[0]
        return Representation(None, {}, f"the truth of the representation cannot be enclosed: {words}")
    if not (math.isfinite(pair.truth.low) and math.isfinite(pair.truth.high)):
        return Representation(None, {}, "the truth of the representation cannot be enclosed in float64")
    facts = {**pair.facts, "effective_rank": effective_rank(x), **_own(recipe, source, made)}
    own = facts.get("encoder_nats", 0.0)
    if not all(map(math.isfinite, facts.values())) or own < ABSURD_NATS:
        finite = {key: value for key, value in facts.items() if math.isfinite(value)}
        return Representation(None, finite, f"the encoder diverged: by its own loss it reads {own:.3g} nats")
    what, spread = _narrowest(recipe, source, made, x)
    if spread < COLLAPSED:
        words = f"all inputs have nearly one {what} (spread {spread:.2g}"
        rank = f"effective rank of the representation {facts['effective_rank']:.2f})"
        return Representation(None, facts, f"the encoder collapsed: {words}, {rank}")
    pair = replace(pair, facts=facts)
    return Representation(scaled(pair, stream("encoder scale", *_name(made.spec))), facts, "")


@torch.no_grad()
def _narrowest(recipe: Encoder[Any], source: object, made: TrainedEncoder, x: Tensor) -> tuple[str, float]:
    """Return how far directions spread, in the representation or in what the loss compares, and in which.

    SimSiam without its stop-gradient makes one point of all projections (spread 0.002, where it is 0.7 with
    it), while the head's standardisation keeps the representation spread (0.6), along two axes or so. What
    such a loss compares no longer depends on the image, even if the representation still does.
    """
    found = {"representation": direction_spread(x)}
    compared = recipe.compared(
        source, _as_pack(made.parameters), stream("encoder compared", *_name(made.spec))
    )
    if compared is not None:
        found["projection"] = direction_spread(compared[0].double())
    return min(found.items(), key=lambda item: item[1])


def _as_pack(tensors: Tensors) -> Tensors:
    return {key: value[None] for key, value in tensors.items()}


def _encode(side: Callable[[Tensors, Tensor], Tensor], parameters: Tensors) -> Encode:
    """Return one side of an encoder as a function of rows, in the type of the rows."""

    @cache
    def in_type(dtype: torch.dtype) -> Tensors:
        return {key: value[None].to(dtype) for key, value in parameters.items()}

    @torch.no_grad()
    def encode(rows: Tensor) -> Tensor:
        encoded = side(in_type(rows.dtype), rows[None])[0]
        if not encoded.isfinite().all():
            raise FloatingPointError("a representation is not finite")
        return encoded

    return encode


@torch.no_grad()
def _own(recipe: Encoder[Any], source: object, made: TrainedEncoder) -> dict[str, float]:
    """Return what the recipe itself reads of the information, and the most that it can read."""
    feed = stream("encoder own", *_name(made.spec))
    trained, state = _as_pack(made.parameters), _as_pack(made.state)
    values = []
    for _ in range(OWN_BATCHES):
        batch = _as_pack(recipe.draw(source, feed))
        value = recipe.own_estimate(source, trained, state, batch)
        if value is None:
            return {}
        values.append(value.double().item())
    ceiling = recipe.own_ceiling(source)
    return {"encoder_nats": math.fsum(values) / OWN_BATCHES} | (
        {} if ceiling is None else {"encoder_ceiling_nats": ceiling}
    )
