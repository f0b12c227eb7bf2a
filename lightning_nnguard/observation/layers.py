"""What is seen of the layers in an audited batch: what they take, what stands between them, and what belongs to nobody."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class UnregisteredParameterSeen(Seen):
    """Trainable parameters that a trained loss depends on and that are not among the model's. `where` is the path of the first
    one when it lies in a container of the model, else the module that uses it.

    Attributes:
        source: The user's line that uses the first one, such as "net.py:12, `layer(x)`"; None when unknown.
        container: Path of the list, tuple, set or dictionary in which they lie; "" for none.
        num_members: Layers and parameters in that container.
        num_parameters: Parameters among them that were used.
        num_values: Values of these.
        owner: Class of the layer of the first one, such as "Linear"; "" when it belongs to none.
        is_training: Whether that layer is in train mode; True when there is none.
        is_new: Whether they were made, with random values, in the audited batch itself.
        is_optimized: Whether an optimizer of the run holds the first one.
        manual: Whether the user steps the optimizers by hand.
        is_tensor: Whether it is one plain tensor, no `nn.Parameter`: an attribute of a module that a product takes for its weight,
            that no optimizer holds, and that kept its values over several sampled steps. `where` is its path then.
        requires_grad: Whether a gradient flows to it.
        num_unchanged: Sampled steps on which that plain tensor had kept its values.
    """

    source: str | None = None
    container: str = ""
    num_members: int = 0
    num_parameters: int = 2
    num_values: int = 4160
    owner: str = "Linear"
    is_training: bool = True
    is_new: bool = False
    is_optimized: bool = False
    manual: bool = False
    is_tensor: bool = False
    requires_grad: bool = True
    num_unchanged: int = 0


@dataclass(frozen=True, kw_only=True)
class SoftmaxSeen(Seen):
    """One call of softmax or log-softmax in an audited batch. `where` is the module.

    Attributes:
        stage: Loop in which it ran.
        function: "softmax" or "log_softmax".
        source: "net.py:12, `F.softmax(x, dim=0)`"; None when only library code made the call.
        shape: Shape of its input.
        dim: Dimension that it normalises over, from 0 on.
        batch_size: Samples of the batch; None when unknown.
        layer: Linear or convolution function that made its input, nothing reshaped or moved since; "" for none.
        channel_dim: Dimension that this layer's features or channels lie in; None without a layer.
        is_combined: Whether its result goes into sums or products with what parameters have made, as weights of an attention do.
        is_trained: Whether the loss that is trained depends on it, through a gradient; False in evaluation.
        loss: Loss function whose input its result, or the logarithm of it, is, or the call that picks from it by integers of the
            batch, such as "gather"; "" for none.
        loss_source: That call, such as "train.py:48, `F.nll_loss(x, y)`"; None when unknown.
        class_dim: Dimension of the input that this call takes the classes from; None for losses of single values.
        target_is_alike: Whether the target of this loss went through a softmax over the same dimension, and through no layer.
    """

    stage: Stage
    function: str = "softmax"
    source: str | None = None
    shape: tuple[int, ...] = (64, 10)
    dim: int = 1
    batch_size: int | None = 64
    layer: str = "linear"
    channel_dim: int | None = 1
    is_combined: bool = False
    is_trained: bool = True
    loss: str = ""
    loss_source: str | None = None
    class_dim: int | None = None
    target_is_alike: bool = False


@dataclass(frozen=True, kw_only=True)
class StackedLayersSeen(Seen):
    """Two trainable linear or convolution layers in sequence, nothing but reshaping and dropout between them, and nothing else
    that takes the output of the first. `where` is the second one.

    Attributes:
        source: The user's line that calls the second one; None when unknown.
        before: Path of the first one.
        function: Function of the second one, such as "linear" or "conv2d".
        function_before: Function of the first one.
        kernel: Kernel of the second one; () for a linear layer.
        kernel_before: Kernel of the first one; () for a linear layer.
        groups: Groups of the second one; 1 for a linear layer.
        groups_before: Groups of the first one.
        num_in: Features or channels that go into the first one, times the size of its kernel when the second has no extent.
        num_between: Features or channels that go from one to the other.
        num_out: Features or channels that come out of the second one, times the size of its kernel when the first has no extent.
        is_gated: Whether nothing but a gated linear unit takes the output of the second one.
    """

    source: str | None = None
    before: str = ""
    function: str = "linear"
    function_before: str = "linear"
    kernel: tuple[int, ...] = ()
    kernel_before: tuple[int, ...] = ()
    groups: int = 1
    groups_before: int = 1
    num_in: int = 64
    num_between: int = 64
    num_out: int = 10
    is_gated: bool = False


@dataclass(frozen=True, kw_only=True)
class NormCallSeen(Seen):
    """One call of batch norm or instance norm in an audited training batch. `where` is the module.

    Attributes:
        function: "batch_norm" or "instance_norm".
        source: The user's line that makes the call, or calls the layer; None when unknown.
        uses_batch: Whether it normalises by the statistics of what it gets, rather than by running ones.
        num_values: Values that each mean is taken over.
        num_channels: Channels that are normalised.
        is_short: Whether an earlier audited training batch had more samples than this one, which may be the last of its epoch.
        bias: Name of the trainable bias of the layer whose output it normalises directly; "" for none.
        num_biases: Values of that bias.
        dropout: Path of the nearest active dropout before it, with layers, activations and pooling between, but no sum, product or
            other normalisation; "" for none.
        dropout_rate: The rate of that dropout.
        num_layers_between: Linear and convolution layers between the two.
    """

    function: str = "batch_norm"
    source: str | None = None
    uses_batch: bool = True
    num_values: int = 64
    num_channels: int = 32
    is_short: bool = False
    bias: str = ""
    num_biases: int = 0
    dropout: str = ""
    dropout_rate: float = 0.0
    num_layers_between: int = 0


@dataclass(frozen=True, kw_only=True)
class ChoiceSeen(Seen):
    """One choice of the largest value along a dimension (`argmax`, `max`, `topk`) of what a layer has made, elementwise functions
    and softmax apart. `where` is the module.

    Attributes:
        stage: Loop in which it ran.
        function: "argmax", "max" or "topk".
        source: "train.py:52, `logits.argmax(1)`"; None when only library code made the call.
        shape: Shape of its input.
        dim: Dimension that it chooses along, from 0 on.
        batch_size: Samples of the batch; None when unknown.
        layer: Linear or convolution function that made its input, nothing reshaped or moved since.
        layer_path: Path of that layer.
        channel_dim: Dimension that this layer's features or channels lie in.
        is_compared: Whether the indices are compared with something, or combined with integers of the batch; looked at only where
            there is one value to choose from.
    """

    stage: Stage
    function: str = "argmax"
    source: str | None = None
    shape: tuple[int, ...] = (64, 10)
    dim: int = 1
    batch_size: int | None = 64
    layer: str = "linear"
    layer_path: str = "head"
    channel_dim: int = 1
    is_compared: bool = False


@dataclass(frozen=True, kw_only=True)
class ConvolutionInputSeen(Seen):
    """One 2-D convolution of a tensor of the batch, which has kept its shape since. `where` is the module.

    Attributes:
        stage: Loop in which it ran.
        source: The user's line that makes the call, or calls the layer; None when unknown.
        path: The tensor, such as "batch[0]".
        shape: Its shape.
        num_channels: Channels that the convolution takes.
        kernel: Size of its kernel.
    """

    stage: Stage
    source: str | None = None
    path: str = "batch[0]"
    shape: tuple[int, ...] = (64, 3, 32, 32)
    num_channels: int = 3
    kernel: tuple[int, ...] = (3, 3)
