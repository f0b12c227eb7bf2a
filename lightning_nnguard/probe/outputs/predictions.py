"""Which classes an evaluation predicts, and how the latest training steps fared."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_nnguard.observation import PredictionsSeen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.outputs.rows import Rows

#: Sampled training steps that are remembered.
_KEPT = 16
#: Predictions that count as new: those of the newest batches that hold so many.
_NEW = 32
Pair = tuple[Tensor, Tensor]
#: Loss function, and its number among the calls of the batch to this function.
Key = tuple[str, int]
#: Of one loss call: its place, source, classes, batches, predictions, targets, and how many of these are new.
Part = tuple[str, str | None, int, int, list[int], list[int], int]


@dataclass(kw_only=True)
class _Tally:
    """Predictions and targets of one loss call."""

    where: str = ""
    source: str | None = None
    num_classes: int = 0
    pairs: deque[Pair] = field(default_factory=deque)

    def add(self, pair: Pair, where: str, source: str | None, num_classes: int) -> None:
        if num_classes != self.num_classes:  # numbers within a batch, as in contrastive learning, are no classes
            self.pairs.clear()
        self.where, self.source, self.num_classes = where, source, num_classes
        self.pairs.append(pair)

    def part(self) -> Part:
        predictions, targets = (torch.cat(each).tolist() for each in zip(*self.pairs, strict=True))
        num_new = 0
        for guess, _ in reversed(self.pairs):
            num_new += len(guess) if num_new < _NEW else 0
        return self.where, self.source, self.num_classes, len(self.pairs), predictions, targets, num_new


class PredictionTallies:
    """Predictions of the watched batches of an evaluation, and of the latest sampled training steps."""

    def __init__(self) -> None:
        self._train: dict[Key, _Tally] = {}
        self._evaluated: dict[tuple[int, Key], _Tally] = {}

    def take(self, key: Key, rows: Rows, loader: int | None, *, where: str, source: str | None) -> None:
        """Take a loss call.

        Args:
            key: Which of the batch's loss calls it is.
            rows: Its rows.
            loader: Index of the evaluation's loader; None in training.
            where: Its place.
            source: The user's line.
        """
        # A row that is ignored is marked by a negative target, so that nothing waits for the device here.
        pair = rows.predictions, rows.classes.where(rows.is_valid, -1)
        if loader is None:
            tally = self._train.setdefault(key, _Tally(pairs=deque(maxlen=_KEPT)))
        else:
            tally = self._evaluated.setdefault((loader, key), _Tally())
        tally.add(pair, where, source, rows.num_classes)

    def num_taken(self, loader: int) -> int:
        """Return how many predictions of a loader were taken in this evaluation, of the loss call that got most."""
        sizes = (sum(map(len, (guess for guess, _ in tally.pairs))) for (of, _), tally in self._evaluated.items() if of == loader)
        return max(sizes, default=0)

    def end(self) -> Mapping[tuple[int, Key], tuple[Part, Part | None]] | None:
        """End an evaluation: return what it predicted and what training did lately; None when nothing was seen."""
        evaluated, self._evaluated = self._evaluated, {}
        trained = {key: self._train[key].part() for key in {key for _, key in evaluated} & self._train.keys()}
        return {(loader, key): (tally.part(), trained.get(key)) for (loader, key), tally in evaluated.items()} or None


def seen_of(
    parts: Sequence[Mapping[tuple[int, Key], tuple[Part, Part | None]] | None], stage: Stage, at: At
) -> list[PredictionsSeen]:
    """Return what an evaluation predicted, from what each rank saw of it.

    Args:
        parts: What `PredictionTallies.end` returned, of each rank.
        stage: The stage.
        at: Its moment.
    """
    merged: dict[tuple[int, Key], list[tuple[Part, Part | None]]] = {}
    for part in parts:
        for call, tallies in (part or {}).items():
            merged.setdefault(call, []).append(tallies)
    return [each for (loader, key), tallies in merged.items() if (each := _seen(loader, key, tallies, stage, at)) is not None]


def _seen(loader: int, key: Key, tallies: Sequence[tuple[Part, Part | None]], stage: Stage, at: At) -> PredictionsSeen | None:
    (where, source, num_classes, *_), _ = tallies[0]
    own = [evaluated for evaluated, _ in tallies if evaluated[2] == num_classes]
    trained = [train for _, train in tallies if train is not None and train[2] == num_classes]
    predictions, targets = _counted(own)
    total = targets.total()
    if not total:
        return None
    train_targets = _counted(trained)[1]
    num_train = train_targets.total()
    newest = [(*part[:4], part[4][-part[6] :], part[5][-part[6] :], part[6]) for part in trained]
    top, num_top = predictions.most_common(1)[0]
    return PredictionsSeen(
        where=f"{where} of loader {loader}" if loader else where, step=at.step, epoch=at.epoch, stage=stage, function=key[0],
        source=source, num_classes=num_classes, num_predictions=total, num_batches=sum(part[3] for part in own),
        top_class=top, top_share=num_top / total, right_share=targets[top] / total,
        majority_share=max(targets.values()) / total, num_present=len(targets), num_train=num_train,
        train_accuracy=min(_accuracy(trained), _accuracy(newest)),
        train_majority_share=max(train_targets.values()) / num_train if num_train else 0.0,
    )  # fmt: skip


def _counted(parts: Sequence[Part]) -> tuple[Counter[int], Counter[int]]:
    """Return how often each class was predicted, and how often it was right."""
    pairs = [(guess, target) for part in parts for guess, target in zip(part[4], part[5], strict=True) if target >= 0]
    return Counter(guess for guess, _ in pairs), Counter(target for _, target in pairs)


def _accuracy(parts: Sequence[Part]) -> float:
    pairs = [pair for part in parts for pair in zip(part[4], part[5], strict=True) if pair[1] >= 0]
    return sum(guess == target for guess, target in pairs) / len(pairs) if pairs else 0.0
