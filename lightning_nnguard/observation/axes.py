"""What is seen of axes that hold something else than the code takes them for, and of samplers that count other samples."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen


@dataclass(frozen=True, kw_only=True)
class SamplerSeen(Seen):
    """A training sampler that goes by numbers of samples. `where` names the loader, such as "train_dataloader".

    Attributes:
        kind: Class of the sampler.
        num_samples: Samples of the data set.
        num_weights: Weights of the sampler, one for each sample that it may draw; None when it has no weights.
        highest: The highest number that it may draw; -1 when it draws none.
        lowest: The lowest one.
        is_own: Whether the data set is of a class of the user's, whose code may take numbers beyond its end.
    """

    kind: str
    num_samples: int
    num_weights: int | None = None
    highest: int = -1
    lowest: int = 0
    is_own: bool = False


@dataclass(frozen=True, kw_only=True)
class TimeAxisSeen(Seen):
    """A layer over sequences that takes its time from dimension 0, on an input of the training batch. `where` is the layer.

    Attributes:
        function: "lstm", "gru", "rnn_tanh", "rnn_relu" or "multi_head_attention_forward".
        source: "net.py:12, `self.rnn(x)`"; None when only library code made the call.
        shape: Shape of the input: three dimensions.
        is_batch: Whether dimension 0 of the input is that of a tensor of the batch: no call between has moved it.
        target_shapes: Shapes of the tensors of the batch that targets of the trained losses are made of.
    """

    function: str
    source: str | None = None
    shape: tuple[int, ...]
    is_batch: bool
    target_shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class PositionAxisSeen(Seen):
    """A table of positions, cut to the length of dimension 0, that is added to the activations of a training batch.

    Attributes:
        source: "net.py:12, `x + self.pe[:x.size(0)]`"; None when only library code made the call.
        table: Name of the parameter or buffer, such as "pos.pe"; "" when it is none.
        table_shape: Its shape.
        shape: Shape of the activations: (dimension 0, dimension 1, features).
        is_batch: Whether dimension 0 of the activations is that of a tensor of the batch: no call between has moved it.
        target_shapes: Shapes of the tensors of the batch that targets of the trained losses are made of.
        mixed_lengths: Lengths of the dimensions that attention and recurrence behind the sum run over.
    """

    source: str | None = None
    table: str
    table_shape: tuple[int, ...]
    shape: tuple[int, ...]
    is_batch: bool
    target_shapes: tuple[tuple[int, ...], ...]
    mixed_lengths: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ReshapedClassesSeen(Seen):
    """Logits that were reshaped between the layer that made them and a loss over classes. `where` is the module of the loss call.

    Attributes:
        function: The loss: "cross_entropy" or "nll_loss".
        source: The user's line of the loss call; None when only library code made it.
        reshaped_by: The user's line of the last reshaping, such as "net.py:12, `x.view(8, 10, 5)`"; None when unknown.
        layer: Function of the layer, such as "linear".
        layer_path: Path of the layer.
        shape_before: Shape of the layer's output.
        channel_dim: Dimension of it that holds the layer's features or channels.
        shape: Shape of the input of the loss, which has its classes in dimension 1.
    """

    function: str
    source: str | None = None
    reshaped_by: str | None = None
    layer: str
    layer_path: str
    shape_before: tuple[int, ...]
    channel_dim: int
    shape: tuple[int, ...]
