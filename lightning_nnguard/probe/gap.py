"""Metrics on training and validation data, paired by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lightning_nnguard.observation import GapSeen
from lightning_nnguard.probe.at import At

_TRAIN = {"train", "training", "trn", "tr"}
_VALIDATION = {"val", "valid", "validation", "dev", "eval"}
_LOWER = (
    "loss", "error", "err", "mse", "mae", "rmse", "mape", "nll", "perplexity", "ppl", "wer", "cer", "fid", "bpc", "bpb", "hinge",
    "divergence", "entropy", "elbo", "distance", "brier", "ce", "bce", "xent", "crossentropy", "kl", "huber", "l1", "l2", "cost",
)  # fmt: skip
_HIGHER = (
    "acc", "auc", "auroc", "f1", "fbeta", "precision", "recall", "iou", "dice", "map", "r2", "score", "bleu", "rouge", "psnr",
    "ssim", "kappa", "correlation", "jaccard", "top1", "top5", "hit", "ndcg", "mrr", "specificity", "sensitivity", "mcc",
)  # fmt: skip

Mode = Literal["min", "max"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One metric under the names that it was logged with.

    Attributes:
        name: Common name, such as "loss".
        train: Name of the training value.
        validation: Name of the validation value.
    """

    name: str
    train: str
    validation: str


def _split(name: str) -> tuple[str, str]:
    """Return the stage that a metric's name tells ("train", "validation" or "") and the rest of the name."""
    parts = _parts(re.sub(r"/dataloader_idx_0$", "", name))  # of several loaders the first one is compared
    if len(parts) > 1 and parts[-1] in {"epoch", "step"}:
        parts.pop()
    for stage, words in (("train", _TRAIN), ("validation", _VALIDATION)):
        rest = [part for part in parts if part not in words]
        if len(rest) < len(parts):
            return stage, "_".join(rest)
    return "", "_".join(parts)


def pair_names(names: Mapping[str, float] | list[str]) -> list[Pair]:
    """Return the metrics that stand among these names once for training and once for validation.

    `train_loss` and `val_loss`, `train/acc` and `val/acc`, `train_acc_epoch` and `val_acc`, also `loss` and `val_loss`. Where a
    metric was logged per step and per epoch, the epoch's value is taken.
    """
    found: dict[str, dict[str, str]] = {}
    for name in sorted(names, key=lambda name: (name.endswith("_step"), not name.endswith("_epoch"), name)):
        stage, rest = _split(name)
        if rest:
            found.setdefault(rest, {}).setdefault(stage, name)
    return [
        Pair(name=rest, train=stages.get("train") or stages[""], validation=stages["validation"])
        for rest, stages in sorted(found.items())
        if "validation" in stages and ("train" in stages or "" in stages)
    ]


def guess_mode(name: str) -> Mode | None:
    """Return whether lower ("min") or higher ("max") is better, by the words in a metric's name; None when they do not tell."""
    parts = _parts(name)
    if any(_says(part, word) for part in parts for word in _LOWER):
        return "min"
    return "max" if any(_says(part, word) for part in parts for word in _HIGHER) else None


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[\W_]+", name.lower()) if part]


def _says(part: str, word: str) -> bool:
    return part == word or (len(word) > 2 and (part.startswith(word) or part.endswith(word)))


class GapHistory:
    """Pairs of training and validation values so far, evaluation by evaluation.

    Args:
        pairs: Common name -> (training name, validation name); None to pair by name.
        modes: Common name -> "min" or "max"; names that are missing are guessed by their words.
    """

    def __init__(self, pairs: Mapping[str, tuple[str, str]] | None, modes: Mapping[str, Mode] | None) -> None:
        self._pairs = None if pairs is None else [Pair(name=n, train=t, validation=v) for n, (t, v) in pairs.items()]
        self._modes = dict(modes or {})
        self._values: dict[str, tuple[Pair, Mode, list[float], list[float], bool]] = {}
        self._noted: set[str] = set()

    def pairs(self, names: Mapping[str, float]) -> tuple[list[Pair], list[str]]:
        """Return the pairs that these metrics allow, and notes, each once, about what is missing among them."""
        notes = []
        if self._pairs is None:
            found = [pair for pair in pair_names(names) if self._mode(pair.name) is not None]
            if not found:
                notes = [
                    f"no metric has both a training and a validation value among {', '.join(sorted(names)) or 'none'}: log both, "
                    "such as train_loss and val_loss, or name them with pairs={'loss': ('my_train', 'my_val')}"
                ]
        else:
            found = [pair for pair in self._pairs if pair.train in names and pair.validation in names]
            notes = [
                f"pairs[{pair.name!r}]: metric {missing!r} was not logged; logged were {', '.join(sorted(names)) or 'none'}"
                for pair in self._pairs
                for missing in (pair.train, pair.validation)
                if missing not in names
            ]
        new = [note for note in notes if note.partition("logged were")[0].partition(" among ")[0] not in self._noted]
        self._noted.update(note.partition("logged were")[0].partition(" among ")[0] for note in notes)
        return found, new

    def same_names(self, train: Mapping[str, float], validation: Mapping[str, float]) -> list[Pair]:
        """Return a pair for each name that both sides have: what the validation step logs, measured on either data."""
        names = sorted(set(train) & set(validation))
        return [Pair(name=_split(name)[1], train=name, validation=name) for name in names if self._mode(name) is not None]

    def _mode(self, name: str) -> Mode | None:
        return self._modes.get(name) or guess_mode(name)

    def add(self, pair: Pair, train: float, validation: float, *, fair: bool) -> None:
        """Add the two values of one evaluation."""
        mode = self._mode(pair.name) or "min"
        entry = self._values.setdefault(pair.name, (pair, mode, [], [], fair))
        entry[2].append(train)
        entry[3].append(validation)

    @property
    def names(self) -> list[str]:
        """Common names of the metrics that have values."""
        return list(self._values)

    def seen(self, at: At, *, chance: float | None, rough_chance: float | None, regularised: bool, final: bool) -> list[GapSeen]:
        """Return the histories as observations."""
        return [
            GapSeen(
                where=name, step=at.step, epoch=at.epoch, mode=mode, train=tuple(train), validation=tuple(validation),
                train_name=pair.train, validation_name=pair.validation, fair=fair, chance=chance if name == "loss" else None,
                rough_chance=rough_chance if name == "loss" else None, regularised=regularised, final=final,
            )
            for name, (pair, mode, train, validation, fair) in self._values.items()
        ]  # fmt: skip
