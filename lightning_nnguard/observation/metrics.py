"""What is seen of metrics that users compute by hand."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class EqualitySeen(Seen):
    """One call of `==` or `!=` in an audited batch that compares what the model has made with what the batch holds.

    `where` is the module that made the call.

    Attributes:
        stage: Loop in which it ran.
        function: "eq" or "ne".
        source: "train.py:48, `predicted == y`"; None when only library code made the call.
        is_averaged: Whether its result is averaged or added up as it is, as in an accuracy.
        num_pairs: Pairs that were compared.
        num_equal: Those that were equal.
        num_predictions: Predictions.
        dtype: Data type of the predictions, such as "int64".
        fractional: Share of the predictions that are no whole numbers.
        low: Smallest prediction.
        high: Largest prediction.
        made_by: The call that made the predictions, casts and reshaping apart, such as "train.py:46, `torch.max(out, 1)`"; None
            when unknown.
        squash: Function whose results, between 0 and 1, were cast to these integers unrounded: "softmax", "sigmoid"; "" for none.
        label_dtype: Data type of the labels, such as "int64".
        label_fractional: Share of the labels that are no whole numbers.
    """

    stage: Stage
    function: str = "eq"
    source: str | None = None
    is_averaged: bool = True
    num_pairs: int = 64
    num_equal: int = 50
    num_predictions: int = 64
    dtype: str = "int64"
    fractional: float = 0.0
    low: float = 0.0
    high: float = 9.0
    made_by: str | None = None
    squash: str = ""
    label_dtype: str = "int64"
    label_fractional: float = 0.0
