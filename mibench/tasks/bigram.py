"""Words and their contexts: discrete pairs with Zipf's frequencies and exact pointwise information."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from scipy.optimize import brentq
from torch import Tensor

from mibench.batch import Dims
from mibench.errors import UsageError
from mibench.registry import option
from mibench.tasks.base import Task
from mibench.tasks.pair import Pair, Truth
from mibench.validation import check_sizes

MOST_WORDS = 2**20
"""Words are numbers in float32, which holds them exactly up to 2^24; tables of embeddings end before."""


@dataclass(frozen=True)
class Bigram(Task):
    r"""A context word c and a word w, both with Zipf's unigrams p(i) ~ 1/i^exponent, tied by their topics.

    Word i is of topic i mod `topics`; pi_s is a topic's total probability. A word keeps its context's topic
    with probability 1 - e and is drawn from the unigrams else, so both marginals are p and

        p(c, w) / p(c)p(w) = (1 - e) [topic(c) = topic(w)] / pi_topic(w) + e,

        I(C;W) = sum_s pi_s (1 - e + e pi_s) log((1 - e)/pi_s + e) + e log e (1 - sum_s pi_s^2)   nats,

    exact for any vocabulary without a table of pairs; e is solved for the given mi, between 0 and the entropy
    of the topics. x and y are the numbers of the words, one coordinate each.

    Raises:
        UsageError: sizes below 1, fewer words than topics, mi outside its range.

    Reference: Levy & Goldberg 2014, NeurIPS (pointwise information); Mnih & Teh 2012, arXiv 1206.6426 (NCE).
    """

    vocabulary: int = option(1000, "number of words")
    topics: int = option(20, "number of topics")
    exponent: float = option(1.0, "of Zipf's law; 0 makes all words alike")
    mi: float = option(1.5, "true mutual information in nats")

    name = "bigram"
    reference: ClassVar[str] = "Levy, Goldberg 2014, NeurIPS; Mnih, Teh 2012, arXiv 1206.6426"
    unlabelled: ClassVar[tuple[str, ...]] = ("mi",)

    def __post_init__(self) -> None:
        check_sizes(self.name, vocabulary=self.vocabulary, topics=self.topics)
        if not self.topics <= self.vocabulary <= MOST_WORDS:
            raise UsageError(
                f"{self.vocabulary} words cannot have {self.topics} topics here.",
                f"Give a vocabulary between the number of topics and {MOST_WORDS:,}.",
            )
        if self.exponent < 0:
            raise UsageError(
                f"exponent of {self.name!r} must be 0 or more, not {self.exponent:g}.", "Zipf's is 1."
            )
        if not self._topic_shares.min() > 0:
            raise UsageError(
                f"exponent {self.exponent:g} leaves some topics of {self.name!r} no probability in float64.",
                "Give less; Zipf's is 1.",
            )
        most = self._information(0.0)
        if not 0 <= self.mi <= most:
            raise UsageError(
                f"mi of {self.name!r} must lie between 0 and the entropy of its topics, {most:.4g} nats, "
                f"not {self.mi:g}.",
                "Give less, or more topics.",
            )

    @property
    def default_critic(self) -> str:
        """Embeddings of this vocabulary."""
        return f"embedding[vocabulary={self.vocabulary}]"

    def pair(self) -> Pair:
        """Return the pair, whose log density ratio is the pointwise information."""
        dims = Dims(1, 1, self.vocabulary)
        return Pair(dims, Truth.exactly(self.mi), self._draw, self._pointwise, self._log_conditional)

    def at(self, nats: float) -> Bigram:
        """Return the same task at another true MI."""
        return replace(self, mi=nats)

    @cached_property
    def unigrams(self) -> Tensor:
        """p(i) of every word, (vocabulary), in float64."""
        weights = torch.arange(1, self.vocabulary + 1, dtype=torch.float64).pow(-self.exponent)
        return weights / weights.sum()

    @cached_property
    def _topic_shares(self) -> Tensor:
        """pi_s of every topic."""
        topics = torch.arange(self.vocabulary) % self.topics
        return torch.zeros(self.topics, dtype=torch.float64).index_add_(0, topics, self.unigrams)

    def _information(self, mixing: float) -> float:
        """Return I(C;W) at a probability e of drawing from the unigrams."""
        pi = self._topic_shares
        same = pi * (1 - mixing + mixing * pi) * ((1 - mixing) / pi + mixing).log()
        log_mixing = math.log(mixing) if mixing > 0 else 0.0
        return float(same.sum()) + mixing * log_mixing * (1 - float(pi.square().sum()))

    @cached_property
    def mixing(self) -> float:
        """e, the probability of drawing a word from the unigrams independently of its context."""
        if self.mi == 0:
            return 1.0
        if self.mi == self._information(0.0):
            return 0.0
        found, _ = brentq(
            lambda e: self._information(e) - self.mi, 0, 1, xtol=1e-15, rtol=1e-14, full_output=True
        )
        return float(found)

    @cached_property
    def _by_topic(self) -> tuple[Tensor, Tensor, Tensor]:
        """The words sorted by topic, the sum of their unigrams so far, and where each topic begins in it."""
        words = torch.argsort(torch.arange(self.vocabulary) % self.topics, stable=True)
        ends = self._topic_shares.cumsum(0)
        return words, self.unigrams[words].cumsum(0), ends - self._topic_shares

    def _draw(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        device = generator.device if generator is not None else None
        where, kept, again = torch.rand(3, n, generator=generator, dtype=torch.float64, device=device).cpu()
        _, _, starts = self._by_topic
        context = self._word_at(where)
        topic = context % self.topics
        within = starts[topic] + again * self._topic_shares[topic]
        word = self._word_at(torch.where(kept < self.mixing, again, within))
        kind = torch.get_default_dtype() if dtype is None else dtype
        return context[:, None].to(device, kind), word[:, None].to(device, kind)

    def _word_at(self, where: Tensor) -> Tensor:
        """Return the word at each place of [0, 1), the words arranged topic by topic."""
        words, sums, _ = self._by_topic
        return words[torch.searchsorted(sums, where, right=True).clamp_max(self.vocabulary - 1)]

    def _pointwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the pointwise information of all pairs, (..., n, n), in float64; -inf where p(c, w) = 0."""
        own, other = x[..., :, 0].long() % self.topics, y[..., :, 0].long() % self.topics
        elsewhere = math.log(self.mixing) if self.mixing > 0 else -math.inf
        same = ((1 - self.mixing) / self._topic_shares + self.mixing).log()[other]
        return torch.where(own[..., :, None] == other[..., None, :], same[..., None, :], elsewhere)

    def _log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log p(w | c) of all pairs."""
        return self._pointwise(x, y) + self.unigrams[y[..., :, 0].long()].log().unsqueeze(-2)
