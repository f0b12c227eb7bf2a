"""What is seen of similarities of all pairs of a batch that a loss takes for logits."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class SelfSimilaritySeen(Seen):
    """One call of a loss over classes whose logits compare each row of a tensor with all rows of the same tensor.

    `where` is the module that called it.

    Attributes:
        stage: Loop in which it ran.
        function: The loss function, such as "cross_entropy".
        source: "train.py:48, `F.cross_entropy(sim, target)`"; None when only library code made the call.
        product: Function that compares the rows, such as "matmul" or "cosine_similarity".
        product_source: Line of that call; None when unknown.
        num_rows: Rows, which are the classes, too.
        largest_on_diagonal: Share of the rows whose largest logit is that of the row with itself.
        targets_on_diagonal: Share of the rows whose target is the row itself.
    """

    stage: Stage
    function: str = "cross_entropy"
    source: str | None = None
    product: str = "matmul"
    product_source: str | None = None
    num_rows: int = 128
    largest_on_diagonal: float = 0.0
    targets_on_diagonal: float = 0.0
