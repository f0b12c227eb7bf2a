"""What is seen of the inputs and the labels in the batches."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen


@dataclass(frozen=True, kw_only=True)
class LayerInputSeen(Seen):
    """What a trained layer was given in an audited batch of training, when that was made of the batch alone. `where` is the layer.

    The layer is linear, a convolution or recurrent, and nothing that is trained stands between it and the batch. So what the step
    does to the batch before (scaling, normalisation, augmentation) has been done.

    Attributes:
        function: Name of the call, such as "linear", "conv2d", "lstm".
        source: "train.py:48, `self.net(x)`"; None when only library code made the call.
        path: The tensors of the batch that it is made of, such as "batch[0]" or "batch[0], batch[1]".
        shape: Shape of the input.
        num_values: Values of the input.
        mean: Their mean.
        std: Their standard deviation (population).
        largest: Largest value, regardless of its sign.
        num_features: Features (channels of a convolution) that are not constant over the batch.
        max_feature_std: Largest standard deviation of a feature.
        median_feature_std: Median standard deviation of the features that are not constant.
        is_image: Whether the layer is a convolution over two or three dimensions.
        is_normalised_next: Whether a normalisation follows the layer at once.
    """

    function: str = "linear"
    source: str | None = None
    path: str = "batch[0]"
    shape: tuple[int, ...] = (64, 20)
    num_values: int = 1280
    mean: float = 0.0
    std: float = 1.0
    largest: float = 4.0
    num_features: int = 20
    max_feature_std: float = 1.2
    median_feature_std: float = 1.0
    is_image: bool = False
    is_normalised_next: bool = False


@dataclass(frozen=True, kw_only=True)
class PaddingSeen(Seen):
    """The sequences of tokens that an embedding was given in an audited batch of training. `where` is the embedding.

    Attributes:
        source: "net.py:12, `self.embed(x)`"; None when only library code made the call.
        path: The tensor of the batch that holds the tokens, such as "batch[0]".
        token: The token that the sequences end with, or else begin with, most often.
        fraction: Share of the positions that lie in an unbroken run of that token at that end of their sequence.
        num_positions: Positions looked at.
        num_sequences: Sequences looked at.
        length: Positions of a sequence.
        num_tokens: Different tokens among them.
        vocabulary: Rows of the embedding.
        inner_fraction: Share of the other positions that hold the token, too; 0 when there are none.
        loss: "cross_entropy at train.py:48, `F.cross_entropy(logits, y)`": the trained loss over classes that has a target for each
            position of the sequences (or for all but one of each sequence), takes their mean or sum, and was given no weights; ""
            when there is none.
        loss_target: The target that most of the padded positions have in that loss.
        counted_fraction: Share of the padded positions that have that target, when the loss does not ignore it; else 0.
    """

    source: str | None = None
    path: str = "batch[0]"
    token: int = 0
    fraction: float = 0.2
    num_positions: int = 4096
    num_sequences: int = 64
    length: int = 64
    num_tokens: int = 900
    vocabulary: int = 30_000
    inner_fraction: float = 0.0
    loss: str = ""
    loss_target: int = -100
    counted_fraction: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ConstantInputSeen(Seen):
    """How the samples that one layer was given differ from each other, over some batches. `where` is the layer.

    Attributes:
        path: The tensors of the batch that its input is made of, such as "batch[0]".
        num_samples: Samples looked at.
        num_batches: Batches of more than one sample looked at.
        num_alike: Batches of these in which all samples were alike in all that the model's first layers were given.
        num_telling: Batches of `num_alike` whose targets differed from sample to sample, while nothing but inputs and targets did.
        num_features: Values of a sample; 0 when its samples are no plain rows of features.
        num_constant: Values of a sample that were the same in all samples.
        zero_fraction: Share of zeros among the values that are not constant.
    """

    path: str = "batch[0]"
    num_samples: int = 1280
    num_batches: int = 20
    num_alike: int = 0
    num_telling: int = 0
    num_features: int = 64
    num_constant: int = 3
    zero_fraction: float = 0.1


@dataclass(frozen=True, kw_only=True)
class LabelsSeen(Seen):
    """The labels of the training batches, one for each sample, summed over ranks. `where` is their place, such as "batch[1]".

    Attributes:
        num_classes: Classes that the loss is computed over.
        counts: How often each class was seen; labels that are ignored are not counted.
        ignore_index: The label that is ignored; None when there is none.
        num_batches: Batches of at least 8 samples looked at.
        num_pure: Batches of these that held a single class.
        num_pure_classes: Whether these batches were all of one class (1), or of two classes or more (2); 0 when there are none.
        is_epoch_seen: Whether they are the labels of a whole epoch: of all its batches, or of a random sample from all over it.
    """

    num_classes: int = 10
    counts: tuple[int, ...] = (100, 98, 103, 95, 105, 99, 101, 97, 102, 100)
    ignore_index: int | None = -100
    num_batches: int = 16
    num_pure: int = 0
    num_pure_classes: int = 0
    is_epoch_seen: bool = True

    @property
    def num_labels(self) -> int:
        """Labels that were counted."""
        return sum(self.counts)

    @property
    def is_in_blocks(self) -> bool:
        """Whether batches of one class were seen, of more than one class: what a shuffled loader of large batches never gives."""
        return self.num_pure_classes > 1


@dataclass(frozen=True, kw_only=True)
class LabelShiftSeen(Seen):
    """The labels of a whole validation loader against those of training. `where` is their place, such as "batch[1]".

    Training goes through its samples evenly: nothing draws some of them more often than others.

    Attributes:
        num_train: Labels of training that were counted.
        num_validation: Labels of the validation, all ranks together.
        num_classes: Classes that the loss is computed over.
        distance: Total variation between the shares of the classes: the share of labels that would have to change. From 0 to 1.
        chance: Upper bound of its expected value for a random split into so many labels.
        unseen_fraction: Share of the validation's labels whose class training has not shown.
        label: Class whose share differs most.
        train_share: Its share in training.
        validation_share: Its share in the validation.
        is_rebalanced: Whether one of the two holds all classes about equally often, and the other one most of them.
    """

    num_train: int = 1000
    num_validation: int = 250
    num_classes: int = 10
    distance: float = 0.05
    chance: float = 0.1
    unseen_fraction: float = 0.0
    label: int = 3
    train_share: float = 0.1
    validation_share: float = 0.12
    is_rebalanced: bool = False


@dataclass(frozen=True, kw_only=True)
class InputShiftSeen(Seen):
    """What one layer is given in a validation, against what it is given in training. `where` is the layer.

    Nothing that is trained stands between it and the batch, neither in training nor in the validation.

    Attributes:
        path: The tensors of the batch that its input is made of in training, such as "batch[0]".
        num_train: Samples of training looked at, all ranks together.
        num_validation: Samples of the validation, all ranks together.
        num_features: Features that are compared, those that are constant in training left out; 0 when the values as a whole are.
        shift: Distance of the means, in standard deviations of training; median over features.
        shift_error: Its standard error, from the means of single batches.
        std_ratio: Standard deviation of the validation / that of training; median over features.
        std_ratio_error: Its standard error, as a share of it, from the variances of single batches.
        train_mean: Mean in training of all values.
        train_std: Their standard deviation.
        validation_mean: Mean in the validation of all values.
        validation_std: Their standard deviation.
        is_train_standardised: Whether training, too, has a mean near 0 and a standard deviation near 1; median over features.
        exact_fraction: Share of the features that have a mean of 0 and a standard deviation of 1 in the validation, to the last
            digits; 0 when a single batch or sample has that, too, so that the batch or the sample was normalised.
        population: Samples of the training set; None when unknown.
    """

    path: str = "batch[0]"
    num_train: int = 1280
    num_validation: int = 1000
    num_features: int = 20
    shift: float = 0.05
    shift_error: float = 0.03
    std_ratio: float = 1.02
    std_ratio_error: float = 0.03
    train_mean: float = 0.01
    train_std: float = 0.99
    validation_mean: float = 0.02
    validation_std: float = 1.01
    is_train_standardised: bool = True
    exact_fraction: float = 0.0
    population: int | None = 4000
