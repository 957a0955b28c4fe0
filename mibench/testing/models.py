"""What a model promises."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.engine.data import stack_runs
from mibench.errors import UsageError
from mibench.models.base import Conditional, Model
from mibench.seeding import stream
from mibench.testing import declared
from mibench.testing.conformance import Broken, Conformance, Property, examined, expect, expect_same

RUNS, N = 3, 11
DIMENSIONS = (Dims(3, 2), Dims(1, 4), Dims(1, 1, vocabulary=20))
"""A model is tested at the first of these that it takes; the last are tokens."""

GRID = 4001
WIDEST = 12.0
"""Densities are integrated over y = sinh(t) for t from -12 to 12: y to 80,000."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model under test."""

    model: Model

    @cached_property
    def dims(self) -> Dims:
        """The dimensions at which it is tested."""
        for dims in DIMENSIONS:
            try:
                self.model.check(dims)
            except UsageError:
                continue
            return dims
        raise Broken("a model that takes real numbers or tokens", "neither")

    def parameters(self, dims: Dims | None = None, dtype: torch.dtype = torch.float64) -> Tensors:
        """Return the parameters of several runs, each drawn from a generator of its own."""
        where = self.dims if dims is None else dims
        streams = (stream("conformance", "weights", run) for run in range(RUNS))
        return stack_runs([self.model.initialise(where, generator, dtype) for generator in streams])

    def inputs(self, dims: Dims | None = None, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        """Return the model's inputs in their order: (R, n, columns) each."""
        where, generator = self.dims if dims is None else dims, stream("conformance", "inputs")
        sizes = [(RUNS, N, columns) for columns in self.model.inputs(where).values()]
        if where.vocabulary is not None:
            drawn = [torch.randint(where.vocabulary, size, generator=generator) for size in sizes]
        else:
            drawn = [torch.randn(size, generator=generator) for size in sizes]
        return tuple(side.to(dtype) for side in drawn)

    @property
    def matrices(self) -> list[str]:
        """The outputs with a value for every pair of an x and a y."""
        return [name for name, shape in self.model.shapes(N, self.dims).items() if shape == (N, N)]


def initial_parameters(case: Case) -> None:
    """The same generator gives the same parameters, another one others; no other random numbers are used."""
    state = torch.get_rng_state()
    first, again = case.parameters(), case.parameters()
    expect(torch.equal(state, torch.get_rng_state()), "torch's global random numbers as they were", "changed")
    expect(bool(first), "parameters", "none")
    for key, value in first.items():
        expect(torch.equal(value, again[key]), f"the same {key} from the same generator", "another")
        expect(value.isfinite().all(), f"a finite {key}", value)
    same = all(torch.equal(value[0], value[1]) for value in first.values())
    expect(not same, "other parameters from another generator", "the same")


def shapes(case: Case) -> None:
    """What the model computes has the declared shape and the type of its inputs, with dim_x != dim_y too."""
    tokens = case.dims.vocabulary is not None
    for dims in (case.dims,) if tokens else (Dims(3, 2), Dims(1, 4), Dims(4, 1)):
        for dtype in (torch.float64, torch.float32):
            outputs = case.model.outputs(case.parameters(dims, dtype), *case.inputs(dims, dtype))
            declared_shapes = case.model.shapes(N, dims)
            expect(
                outputs.keys() == declared_shapes.keys(), f"outputs {list(declared_shapes)}", list(outputs)
            )
            for key, found in outputs.items():
                where, want = f"{key} at dimensions {dims.x} and {dims.y}", (RUNS, *declared_shapes[key])
                expect(found.shape == want, f"{where}: {want}", tuple(found.shape))
                expect(found.isfinite().all(), f"{where}: finite", found)
                expect(found.dtype in (dtype, torch.float64), f"{where} in {dtype}", found.dtype)


def precision(case: Case) -> None:
    """Parameters and inputs in float32 give the values that the same in float64 give."""
    parameters, inputs = case.parameters(dtype=torch.float32), case.inputs(dtype=torch.float32)
    single = case.model.outputs(parameters, *inputs)
    double = case.model.outputs(_double(parameters), *(tensor.double() for tensor in inputs))
    for key, found in single.items():
        expect_same(found, double[key], f"{key} as in float64", 1e-3)


def runs_do_not_mix(case: Case) -> None:
    """A run's values are the same with other runs beside it or none."""
    parameters, inputs = case.parameters(), case.inputs()
    together = case.model.outputs(parameters, *inputs)
    for run in range(RUNS):
        own = {key: value[run : run + 1] for key, value in parameters.items()}
        alone = case.model.outputs(own, *(tensor[run : run + 1] for tensor in inputs))
        for key, value in together.items():
            expect_same(value[run : run + 1], alone[key], f"{key} of the run alone")


def rows_do_not_mix(case: Case) -> None:
    """A pair's values are the same with other pairs beside it or none: no statistics over a batch."""
    parameters, inputs = case.parameters(), case.inputs()
    whole = case.model.outputs(parameters, *inputs)
    some = case.model.outputs(parameters, *(tensor[:, :4] for tensor in inputs))
    for key, value in some.items():
        own = whole[key][:, :4, :4] if key in case.matrices else whole[key][:, :4]
        expect_same(value, own, f"{key} of the first pairs alone")


def rows_are_x(case: Case) -> None:
    """Another x_0 changes row 0 of a matrix alone, another y_0 column 0 alone."""
    parameters, inputs = case.parameters(), case.inputs()
    before = case.model.outputs(parameters, *inputs)
    for place in (0, 1):
        changed = list(inputs)
        changed[place] = torch.cat([inputs[place][:, 1:2], inputs[place][:, 1:]], 1)
        after = case.model.outputs(parameters, *changed)
        for name in case.matrices:
            found, wanted = (each[name].narrow(place + 1, 1, N - 1) for each in (after, before))
            expect_same(found, wanted, f"{name} of the other pairs with another {'xy'[place]}_0")


def inputs_matter(case: Case) -> None:
    """Other inputs give other values: each of them is used."""
    parameters, inputs = case.parameters(), case.inputs()
    before = case.model.outputs(parameters, *inputs)
    for place, name in enumerate(case.model.inputs(case.dims)):
        changed = list(inputs)
        changed[place] = inputs[place].flip(1)
        after = case.model.outputs(parameters, *changed)
        differs = [key for key in before if not torch.equal(before[key], after[key])]
        expect(bool(differs), f"another value for another {name}", "the same")


def gradients(case: Case) -> None:
    """Every parameter has a gradient."""
    parameters = {key: value.requires_grad_() for key, value in case.parameters().items()}
    outputs = case.model.outputs(parameters, *case.inputs())
    total = sum((value.square().sum() for value in outputs.values()), torch.zeros((), dtype=torch.float64))
    found = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    for key, gradient in zip(parameters, found, strict=True):
        expect(gradient is not None and bool((gradient != 0).any()), f"a gradient of {key}", "none")


def tokens_or_numbers(case: Case) -> None:
    """`check` refuses either tokens or real numbers, in a UsageError."""
    refused = 0
    for dims in (Dims(3, 2), Dims(1, 1, vocabulary=20)):
        try:
            case.model.check(dims)
        except UsageError:
            refused += 1
    expect(
        refused == 1, "a check that takes real numbers or tokens, and refuses the other", f"{refused} refused"
    )


def pairs_are_the_diagonal(case: Case) -> None:
    """log_prob_of_pairs is the diagonal of log_prob."""
    found = case.model.outputs(case.parameters(), *case.inputs())
    diagonal = found["log_prob"].diagonal(dim1=-2, dim2=-1)
    expect_same(found["log_prob_of_pairs"], diagonal, "the diagonal of log_prob")


def densities_integrate_to_one(case: Case) -> None:
    """q(y | x) and q(y) integrate to 1, by quadrature for one coordinate of y."""
    model, dims = cast("Conditional", case.model), Dims(3, 1)
    parameters, (x, *_) = case.parameters(dims), case.inputs(dims)
    t = torch.linspace(-WIDEST, WIDEST, GRID, dtype=torch.float64)
    y = t.sinh().view(1, -1, 1).expand(RUNS, -1, 1)
    given = model.log_prob_of_pairs(parameters, x[:, :1].expand(-1, GRID, -1), y)
    for name, log_density in {"q(y|x)": given, "q(y)": model.log_marginal(parameters, y)}.items():
        integral = torch.trapezoid(log_density.exp() * t.cosh(), t)
        expect_same(integral, torch.ones_like(integral), f"an integral of {name} over y of 1", 1e-4)


def _double(parameters: Tensors) -> Tensors:
    return {key: value.double() for key, value in parameters.items()}


def _has_a_matrix(case: Case) -> bool:
    return bool(case.matrices)


def _is_conditional(case: Case) -> bool:
    return isinstance(case.model, Conditional)


PROPERTIES: tuple[Property[Case], ...] = (
    Property("documented", lambda case: declared.documented(case.model, "kind")),
    Property("options", lambda case: declared.options_work(case.model)),
    Property("identity", lambda case: declared.is_a_value(case.model)),
    Property("tokens or numbers", tokens_or_numbers),
    Property("initial parameters", initial_parameters),
    Property("shapes", shapes),
    Property("float32 equals float64", precision),
    Property("runs do not mix", runs_do_not_mix),
    Property("pairs do not mix", rows_do_not_mix),
    Property("rows are x, columns are y", rows_are_x, _has_a_matrix),
    Property("inputs matter", inputs_matter),
    Property("gradient reaches every parameter", gradients),
    Property("pairs are the diagonal", pairs_are_the_diagonal, _is_conditional),
    Property("densities integrate to 1", densities_integrate_to_one, _is_conditional),
)
"""Every property of a model."""


def examine_model(model: Model, name: str | None = None) -> Conformance:
    """Return what is found of every property of a model."""
    return examined("model", name or model.name, Case(model), PROPERTIES, model.conformance_exceptions)


def check_model(model: Model) -> Conformance:
    """Test everything that a model promises, such as a critic, a conditional density or a denoiser.

    Raises:
        ConformanceError: it lists every property that does not hold, what was expected and what was seen.
    """
    return examine_model(model).or_raise()
