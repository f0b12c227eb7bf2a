"""What is seen of losses and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import Literal

from lightning_nnguard.observation.seen import Seen


@dataclass(frozen=True, kw_only=True)
class LossSeen(Seen):
    """The training loss so far, one value a step, mean over ranks; only finite values.

    Attributes:
        num_steps: Steps with a loss since training began.
        steps_per_epoch: Steps of one epoch; None when unknown.
        first: First loss.
        recent: The latest losses, oldest first; at most 128.
        smoothed: The latest exponentially smoothed loss (decay 0.95, bias-corrected).
        smoothed_recent: The latest smoothed losses, oldest first; at most 128.
        smoothed_min: Smallest smoothed loss after the first 5 steps.
        smoothed_min_step: Step of that minimum.
        peak: Largest loss after the first 5 steps; -inf is never seen: equals `first` while there are no more than 5 steps.
        peak_step: Step of that peak.
        chance: Loss of a constant prediction (label entropy in nats, or target variance), when the loss call was recognised and
            is the whole loss; None otherwise.
        chance_error: Standard error of that level, which is estimated from the targets of the sampled batches.
        fresh: First loss of a network that knows nothing: ln C for C classes, ln 2 for an output of its own, the mean square of
            the targets for the squared error; None when the loss call of the first batch was not recognised as the whole loss.
        loss_name: The recognised call, such as "cross_entropy"; "" otherwise.
        in_warmup: Whether the learning rate rose over the latest sampled steps.
        is_objective: Whether Lightning itself minimises this loss. With manual optimisation it may be one of several.
    """

    num_steps: int
    steps_per_epoch: int | None = None
    first: float
    recent: tuple[float, ...]
    smoothed: float
    smoothed_recent: tuple[float, ...]
    smoothed_min: float
    smoothed_min_step: int
    peak: float
    peak_step: int
    chance: float | None = None
    chance_error: float = 0.0
    fresh: float | None = None
    loss_name: str = ""
    in_warmup: bool = False
    is_objective: bool = True

    @cached_property
    def noise(self) -> float:
        """Standard deviation of a single loss, from the median change from step to step, so that no trend is in it."""
        changes = [abs(after - before) for before, after in pairwise(self.recent)]
        return median(changes) / 0.954 if changes else 0.0

    @cached_property
    def is_falling(self) -> bool:
        """Whether the smoothed loss has fallen over the latest 128 steps, by 1 % and by more than two standard errors.

        Smoothing with decay 0.95 leaves 0.16 of a single loss's deviation. The first smoothed losses are hardly smoothed.
        """
        before = self.smoothed_recent[0] if self.smoothed_recent else self.smoothed
        errors = 2.0 if self.num_steps <= len(self.smoothed_recent) else 0.5
        return before - self.smoothed > max(0.01 * abs(before), errors * self.noise)


@dataclass(frozen=True, kw_only=True)
class GapSeen(Seen):
    """One metric on training and on validation data, evaluation by evaluation. `where` is the metric's common name.

    Attributes:
        mode: "min" when lower is better (losses), "max" when higher is.
        train: Values on training data, oldest first.
        validation: Values on validation data, oldest first, as many.
        train_name: Name under which the training value was logged.
        validation_name: Name under which the validation value was logged.
        fair: Whether both were measured by the same code in eval mode.
        chance: Chance level of the training loss when known and this metric is that loss; None otherwise.
        rough_chance: The same level, also where it is estimated from too few targets to be known well.
        regularised: Whether dropout or other train-only noise was seen in training.
        final: Whether training has ended.
    """

    mode: Literal["min", "max"]
    train: tuple[float, ...]
    validation: tuple[float, ...]
    train_name: str
    validation_name: str
    fair: bool = False
    chance: float | None = None
    rough_chance: float | None = None
    regularised: bool = False
    final: bool = False

    @property
    def noise(self) -> float:
        """Standard deviation of a single validation value, from second differences, so that no trend is in it.

        Their median is sqrt(6) x 0.6745 deviations of independent normal values. That of the latest 15 values counts when it is
        larger: curves are often smooth at first and noisy later.
        """
        triples = zip(self.validation, self.validation[1:], self.validation[2:], strict=False)
        bends = [abs(after - 2 * here + before) for before, here, after in triples]
        return max(median(bends), median(bends[-13:])) / 1.652 if bends else 0.0
