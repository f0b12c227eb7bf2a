"""Healthy observations: every rule is silent on them. A test states only what it changes: `update(ratio_median=0.5)`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import (
    AbsentGradientSeen,
    ActivationProfileSeen,
    ActivationSeen,
    AdaptiveStepSeen,
    AttentionSeen,
    AverageSeen,
    BroadcastSeen,
    ChoiceSeen,
    ClassWeightsSeen,
    ClearingSeen,
    ClippingSeen,
    ConstantInputSeen,
    ConvolutionInputSeen,
    DeadUnitsSeen,
    DecaySeen,
    DuplicateUnitsSeen,
    EpochOrderSeen,
    EqualitySeen,
    FrozenUpdateSeen,
    GapSeen,
    GradientNormSeen,
    GradientProfileSeen,
    GradientSeen,
    HeldGraphsSeen,
    InitialProfileSeen,
    InputShiftSeen,
    KeyMaskSeen,
    LabelShiftSeen,
    LabelsSeen,
    LayerInputSeen,
    LoadSeen,
    LogKeysSeen,
    LossCallSeen,
    LossSeen,
    MetricSeen,
    ModeLossSeen,
    ModelSeen,
    ModeSeen,
    MonitorSeen,
    MonitorSpreadSeen,
    NextTokenSeen,
    NonFiniteSeen,
    NormCallSeen,
    NoStepSeen,
    ObjectiveSeen,
    OptimizerSeen,
    OptimizerSettingSeen,
    OutputSpreadSeen,
    OverlapSeen,
    PaddingSeen,
    ParameterSeen,
    PositionAxisSeen,
    PrecisionSeen,
    PredictionsSeen,
    Quantity,
    RandomEvaluationSeen,
    RandomStateSeen,
    RankDataSeen,
    RateSeen,
    ReducedWeightsSeen,
    RepeatedBatchSeen,
    ReplicaSeen,
    ResetSeen,
    ReshapedClassesSeen,
    RunningStatisticsSeen,
    SamplerSeen,
    ScalerSeen,
    ScheduleSeen,
    Seen,
    SelfSimilaritySeen,
    SoftmaxSeen,
    StackedLayersSeen,
    StragglerSeen,
    SymmetrySeen,
    TimeAxisSeen,
    UnregisteredParameterSeen,
    UpdateProfileSeen,
    UpdateSeen,
    ValidationChangeSeen,
    WholeLossSeen,
    WorkerSamplesSeen,
)
from lightning_nnguard.rules import Rule

FLOAT16_LARGEST = 65504.0
FLOAT32_LARGEST = 3.4028234663852886e38


def activation(**changes: Any) -> ActivationSeen:
    """Build the output of a healthy rectifier."""
    seen = ActivationSeen(
        where="encoder.1",
        step=1200,
        epoch=2,
        kind="relu",
        num_samples=64,
        num_values=4096,
        mean=0.4,
        std=0.6,
        rms=0.72,
        low=0.0,
        high=4.0,
        zero_fraction=0.5,
        largest=FLOAT32_LARGEST,
        rms_history=(0.7, 0.71, 0.7, 0.72, 0.73, 0.72),
    )
    return replace(seen, **changes)


def sigmoid(**changes: Any) -> ActivationSeen:
    """Build the output of a healthy sigmoid."""
    healthy = {"where": "head.1", "kind": "sigmoid", "mean": 0.5, "std": 0.2, "rms": 0.54, "low": 0.01, "high": 0.99}
    return activation(**{**healthy, "zero_fraction": 0.0, "saturated_fraction": 0.05, **changes})


def activation_profile(**changes: Any) -> ActivationProfileSeen:
    """Build the RMS of the layers of a healthy network."""
    seen = ActivationProfileSeen(
        step=1200, epoch=2, layers=("stem", "body.0", "body.1", "body.2", "head"), rms=(1.0, 0.8, 0.7, 0.6, 2.0)
    )
    return replace(seen, **changes)


def dead_units(**changes: Any) -> DeadUnitsSeen:
    """Build the units of a healthy rectifier: a tenth of them were never positive."""
    seen = DeadUnitsSeen(
        where="encoder.1", step=1200, epoch=2, kind="relu", num_units=100, num_dead=10, num_samples=4000, num_windows=4
    )
    return replace(seen, **changes)


def non_finite(quantity: Quantity, **changes: Any) -> NonFiniteSeen:
    """Build a fault: NaN in some quantity on rank 3, with a non-finite loss unless it is a gradient."""
    seen = NonFiniteSeen(
        where="" if quantity == "loss" else "encoder.3",
        step=1200,
        epoch=2,
        rank=3,
        quantity=quantity,
        num_bad=7,
        loss_finite=quantity == "gradient",
        batch_index=17,
    )
    return replace(seen, **changes)


def masked_scores(**changes: Any) -> NonFiniteSeen:
    """Build healthy attention scores: -inf where the mask is."""
    return non_finite("activation", **{"where": "attention", "masked": True, "loss_finite": True, **changes})


def scale_search(**changes: Any) -> NonFiniteSeen:
    """Build the healthy start of mixed precision: the scaler skips a step while it searches its scale."""
    return non_finite("gradient", **{"step": 3, "epoch": 0, "num_skips": 4, **changes})


def gradient(**changes: Any) -> GradientSeen:
    """Build the gradient of a healthy weight matrix."""
    seen = GradientSeen(where="encoder.3.weight", step=1200, epoch=2, kind="weight", num_dims=2, norm=0.3, rms=0.003)
    return replace(seen, **changes)


def gradient_profile(**changes: Any) -> GradientProfileSeen:
    """Build the gradient RMS of all weight matrices of a healthy network."""
    layers = ("stem.weight", "body.0.weight", "body.1.weight", "head.weight")
    seen = GradientProfileSeen(step=1200, epoch=2, layers=layers, rms=(2e-3, 1e-3, 2e-3, 5e-3), span=200, num_samples=5)
    return replace(seen, **changes)


def absent_gradient(**changes: Any) -> AbsentGradientSeen:
    """Build a head that has waited for its first gradient for fifty steps."""
    seen = AbsentGradientSeen(where="heads.rare.weight", step=50, epoch=0, kind="weight", num_steps=50, module="heads.rare")
    return replace(seen, **changes)


def clearing(**changes: Any) -> ClearingSeen:
    """Build an optimizer whose gradients are cleared in time; it has missed one step."""
    return replace(ClearingSeen(where="optimizers[0]", step=1200, epoch=2, optimizer="Adam", num_emptied=1), **changes)


def no_step(**changes: Any) -> NoStepSeen:
    """Build the start of an accumulation over many batches."""
    return replace(NoStepSeen(step=60, epoch=0, num_batches=60), **changes)


def held_graphs(**changes: Any) -> HeldGraphsSeen:
    """Build a list that holds the graphs of a part of an epoch."""
    seen = HeldGraphsSeen(where="log_probs", step=1200, epoch=2, num_graphs=120, growth=120, num_steps=300, num_backwards=300)
    return replace(seen, **changes)


def symmetry(**changes: Any) -> SymmetrySeen:
    """Build a head that started at zero, and has separated."""
    return replace(SymmetrySeen(where="head.weight", step=30, epoch=0, num_units=10, gap=0.4, num_steps=30), **changes)


def duplicate_units(**changes: Any) -> DuplicateUnitsSeen:
    """Build a layer with a few units that are alike."""
    return replace(DuplicateUnitsSeen(where="encoder.3.weight", step=210, epoch=0, num_alike=4), **changes)


def frozen_update(**changes: Any) -> FrozenUpdateSeen:
    """Build a frozen layer with a zero gradient, under an optimizer that does nothing with it."""
    seen = FrozenUpdateSeen(where="stem.weight", step=1200, epoch=2, optimizer="SGD", update_norm=0.0, weight_norm=4.0)
    return replace(seen, **changes)


def gradient_norm(**changes: Any) -> GradientNormSeen:
    """Build 40 healthy gradient norms that waver by a fifth around 1."""
    norms = tuple(1.0 + 0.1 * (i % 5 - 2) for i in range(40))
    seen = GradientNormSeen(step=1200, epoch=2, norms=norms, steps=tuple(range(1161, 1201)))
    return replace(seen, **changes)


def update(**changes: Any) -> UpdateSeen:
    """Build what an optimizer with a healthy learning rate does to a weight matrix."""
    seen = UpdateSeen(
        where="encoder.3.weight",
        step=1200,
        epoch=2,
        kind="weight",
        num_dims=2,
        update_norm=0.01,
        weight_norm=10.0,
        ratio=1e-3,
        ratio_median=1e-3,
        span=200,
        num_samples=5,
        learning_rate=1e-3,
        gradient_norm=0.3,
    )
    return replace(seen, **changes)


def update_profile(**changes: Any) -> UpdateProfileSeen:
    """Build the update ratios of all weight matrices of a healthy network."""
    seen = UpdateProfileSeen(
        step=1200,
        epoch=2,
        parameters=("stem.weight", "body.weight", "head.weight"),
        ratios=(1e-3, 2e-3, 8e-4),
        span=200,
        num_samples=5,
    )
    return replace(seen, **changes)


def loss(**changes: Any) -> LossSeen:
    """Build a healthy loss after 1200 steps: from chance, 2.3, down to 0.5, with some noise."""
    recent = tuple(0.5 + 0.05 * (i % 5 - 2) for i in range(128))
    seen = LossSeen(
        step=1200,
        epoch=2,
        num_steps=1200,
        steps_per_epoch=500,
        first=2.35,
        recent=recent,
        smoothed=0.5,
        smoothed_recent=tuple(0.51 - 0.01 * i / 127 for i in range(128)),
        smoothed_min=0.49,
        smoothed_min_step=1150,
        peak=2.5,
        peak_step=7,
        chance=2.3,
        fresh=2.3,
        loss_name="cross_entropy",
    )
    return replace(seen, **changes)


def loss_call(**changes: Any) -> LossCallSeen:
    """Build a healthy call of cross-entropy: logits of ten classes."""
    seen = LossCallSeen(
        where="", step=0, epoch=0, stage="train", function="cross_entropy", source="train.py:48, `F.cross_entropy(logits, y)`",
        input_source="net.py:12, `self.head(x)`", input_function="linear", max_sum_error=0.9, max_log_sum_error=9.0,
        ignore_index=-100,
    )  # fmt: skip
    return replace(seen, **changes)


def broadcast(**changes: Any) -> BroadcastSeen:
    """Build a healthy pair of shapes: distances between all pairs of a batch, asked for by an index of None."""
    seen = BroadcastSeen(step=0, epoch=0, function="sub", source="train.py:48, `codes[:, None] - codes`", num_with_grad=2)
    return replace(seen, **changes)


def equality(**changes: Any) -> EqualitySeen:
    """Build a healthy accuracy: indices of the largest of ten outputs against labels."""
    return replace(EqualitySeen(step=0, epoch=0, stage="validate", source="train.py:48, `predicted == y`"), **changes)


def self_similarity(**changes: Any) -> SelfSimilaritySeen:
    """Build a healthy contrastive loss over 128 views, whose diagonal is masked."""
    seen = SelfSimilaritySeen(step=0, epoch=0, stage="train", source="train.py:48, `F.cross_entropy(sim, target)`")
    return replace(seen, **changes)


def objective(**changes: Any) -> ObjectiveSeen:
    """Build a healthy trained loss: all eight parameters have a gradient after its backward pass."""
    return replace(ObjectiveSeen(step=0, epoch=0), **changes)


def reduced_weights(**changes: Any) -> ReducedWeightsSeen:
    """Build a loss that is multiplied by weights that are all alike."""
    seen = ReducedWeightsSeen(
        where="", step=0, epoch=0, source="train.py:49, `loss * w`", loss_source="train.py:48, `F.cross_entropy(x, y)`"
    )
    return replace(seen, **changes)


def class_weights(**changes: Any) -> ClassWeightsSeen:
    """Build a binary loss whose rare positives are weighted up."""
    seen = ClassWeightsSeen(
        where="binary_cross_entropy_with_logits()", step=150, epoch=1, function="binary_cross_entropy_with_logits",
        source="train.py:48, `F.binary_cross_entropy_with_logits(x, y, pos_weight=w)`", weights=(1.0, 9.0), shares=(0.9, 0.1),
        errors=(0.01, 0.01),
    )  # fmt: skip
    return replace(seen, **changes)


def whole_loss(**changes: Any) -> WholeLossSeen:
    """Build a healthy loss that is all that a batch trains: cross-entropy, as it was returned."""
    seen = WholeLossSeen(step=0, epoch=0, function="cross_entropy", source="train.py:48, `F.cross_entropy(logits, y)`")
    return replace(seen, **changes)


def parameter(**changes: Any) -> ParameterSeen:
    """Build a parameter that receives gradients and is held by one optimizer."""
    return replace(ParameterSeen(where="encoder.3.weight", step=0, epoch=0), **changes)


def optimizer(**changes: Any) -> OptimizerSeen:
    """Build an optimizer that holds the eight parameters of the model and two of a loss outside of it."""
    return replace(OptimizerSeen(where="optimizers[0]", step=0, epoch=0, kind="Adam", num_tensors=10, num_foreign=2), **changes)


def model(**changes: Any) -> ModelSeen:
    """Build a model of twenty weights for each of the 50,000 samples it is trained on."""
    seen = ModelSeen(step=0, epoch=0, num_parameters=8, num_trainable=8, num_values=1_000_000, num_targets=50_000.0)
    return replace(seen, **changes)


def metric(**changes: Any) -> MetricSeen:
    """Build a metric of validation alone, which is computed at its end."""
    return replace(MetricSeen(where="val_acc", step=99, epoch=0, stage="validate", kind="MulticlassAccuracy"), **changes)


def load(**changes: Any) -> LoadSeen:
    """Build a load of a backbone into a model with a new head: all but the two keys of the old head were used."""
    seen = LoadSeen(
        where="net", step=0, epoch=0, source="train.py:48, `self.net.load_state_dict(state, strict=False)`", num_given=62,
        num_unused=2, num_keys=64, num_missing=4, given="fc.weight", wanted="head.weight",
    )  # fmt: skip
    return replace(seen, **changes)


def monitor(**changes: Any) -> MonitorSeen:
    """Build an early stopping that follows the validation loss."""
    return replace(MonitorSeen(where="val_loss", step=0, epoch=0, kind="EarlyStopping", mode="min"), **changes)


def initial_profile(**changes: Any) -> InitialProfileSeen:
    """Build the RMS of the layers of a network with a default initialisation, before the first step."""
    layers = ("stem", "body.0", "body.1", "body.2", "head")
    return replace(InitialProfileSeen(step=0, epoch=0, layers=layers, rms=(1.0, 0.4, 0.2, 0.1, 0.05)), **changes)


def unregistered_parameter(**changes: Any) -> UnregisteredParameterSeen:
    """Build a healthy container of layers that an optimizer of the run holds."""
    seen = UnregisteredParameterSeen(
        where="critics[0].weight", step=0, epoch=0, source="net.py:12, `layer(x)`", container="critics", num_members=2,
        is_optimized=True,
    )  # fmt: skip
    return replace(seen, **changes)


def softmax(**changes: Any) -> SoftmaxSeen:
    """Build a healthy softmax over ten classes."""
    return replace(SoftmaxSeen(step=0, epoch=0, stage="train", source="net.py:12, `F.softmax(x, dim=1)`"), **changes)


def stacked_layers(**changes: Any) -> StackedLayersSeen:
    """Build a healthy factorisation: two layers without an activation between, narrower than both sides."""
    seen = StackedLayersSeen(where="head.1", step=0, epoch=0, source="net.py:12, `self.head(x)`", before="head.0")
    return replace(seen, **{"num_in": 64, "num_between": 8, "num_out": 64, **changes})


def norm_call(**changes: Any) -> NormCallSeen:
    """Build a healthy call of batch norm in training: 64 values a channel."""
    return replace(NormCallSeen(where="encoder.1", step=0, epoch=0, source="net.py:12, `self.encoder(x)`"), **changes)


def key_mask(**changes: Any) -> KeyMaskSeen:
    """Build the mask of 32 padded sequences of a transformer, which looks at their tokens and ignores the padding."""
    seen = KeyMaskSeen(where="layer.self_attn", step=0, epoch=0, source="net.py:12, `self.layer(h, src_key_padding_mask=mask)`")
    return replace(seen, **changes)


def next_token(**changes: Any) -> NextTokenSeen:
    """Build a language model whose attention hides later positions."""
    seen = NextTokenSeen(
        where="blocks.0.self_attn", step=0, epoch=0, source="net.py:12, `self.encoder(h)`",
        loss_source="train.py:48, `F.cross_entropy(x, y)`",
    )  # fmt: skip
    return replace(seen, **changes)


def attention(**changes: Any) -> AttentionSeen:
    """Build a healthy attention of four heads over 64 keys."""
    seen = AttentionSeen(where="blocks.0", step=0, epoch=0, stage="train", source="net.py:12, `scores.softmax(-1)`")
    return replace(seen, **changes)


def output_spread(**changes: Any) -> OutputSpreadSeen:
    """Build the outputs of a regression that explains a third of its targets' variance."""
    seen = OutputSpreadSeen(where="mse_loss()", step=1200, epoch=2, source="train.py:48, `F.mse_loss(x, y)`")
    return replace(seen, **changes)


def predictions(**changes: Any) -> PredictionsSeen:
    """Build what a healthy validation of ten classes predicts."""
    seen = PredictionsSeen(
        where="cross_entropy()", step=1200, epoch=2, stage="validate", source="train.py:52, `F.cross_entropy(x, y)`"
    )
    return replace(seen, **changes)


def choice(**changes: Any) -> ChoiceSeen:
    """Build a healthy argmax over the logits of ten classes."""
    return replace(ChoiceSeen(step=0, epoch=0, stage="validate", source="train.py:52, `logits.argmax(1)`"), **changes)


def convolution_input(**changes: Any) -> ConvolutionInputSeen:
    """Build healthy images with the channels in dimension 1."""
    return replace(ConvolutionInputSeen(where="stem", step=0, epoch=0, stage="train", source="net.py:8, `self.stem(x)`"), **changes)


def layer_input(**changes: Any) -> LayerInputSeen:
    """Build what the first layer of a network is given: 64 standardised rows of 20 columns."""
    seen = LayerInputSeen(where="net.0", step=0, epoch=0, source="train.py:48, `self.net(x)` in `net.0`")
    return replace(seen, **changes)


def padding(**changes: Any) -> PaddingSeen:
    """Build sequences of tokens a fifth of which is padding."""
    return replace(PaddingSeen(where="embed", step=0, epoch=0, source="net.py:12, `self.embed(x)` in `embed`"), **changes)


def constant_input(**changes: Any) -> ConstantInputSeen:
    """Build samples that differ in all but three border pixels."""
    return replace(ConstantInputSeen(where="net.0", step=190, epoch=0), **changes)


def labels(**changes: Any) -> LabelsSeen:
    """Build a thousand labels of ten classes, in random order."""
    return replace(LabelsSeen(where="batch[1]", step=1200, epoch=2), **changes)


def label_shift(**changes: Any) -> LabelShiftSeen:
    """Build the labels of a random split of 1250 labels of ten classes."""
    return replace(LabelShiftSeen(where="batch[1]", step=1200, epoch=2), **changes)


def input_shift(**changes: Any) -> InputShiftSeen:
    """Build a validation set that was prepared like the training set."""
    return replace(InputShiftSeen(where="net.0", step=1200, epoch=2), **changes)


def dropout(**changes: Any) -> ModeSeen:
    """Build a dropout that is active in training."""
    seen = ModeSeen(where="encoder.2", step=1200, epoch=2, stage="train", kind="dropout", training=True, rate=0.5)
    return replace(seen, **changes)


def batchnorm(**changes: Any) -> ModeSeen:
    """Build a batch norm that uses batch statistics in training."""
    seen = ModeSeen(where="encoder.1", step=1200, epoch=2, stage="train", kind="batchnorm", training=True)
    return replace(seen, **changes)


def random_evaluation(**changes: Any) -> RandomEvaluationSeen:
    """Build a batch of validation that draws no random numbers."""
    return replace(RandomEvaluationSeen(step=1200, epoch=2, stage="validate"), **changes)


def running_statistics(**changes: Any) -> RunningStatisticsSeen:
    """Build a batch norm in validation whose running statistics fit."""
    seen = RunningStatisticsSeen(where="encoder.1", step=1200, epoch=2, stage="validate", source="net.py:12, `self.norm(x)`")
    return replace(seen, **changes)


def mode_loss(**changes: Any) -> ModeLossSeen:
    """Build the loss of a model with dropout: it is smaller in eval mode."""
    return replace(ModeLossSeen(step=1200, epoch=2, train_loss=0.5, eval_loss=0.4, first_loss=2.3), **changes)


def gap(**changes: Any) -> GapSeen:
    """Build six evaluations of a loss that falls on training and on validation data."""
    seen = GapSeen(
        where="loss",
        step=1200,
        epoch=5,
        mode="min",
        train=(2.0, 1.5, 1.1, 0.9, 0.7, 0.6),
        validation=(2.05, 1.6, 1.2, 1.0, 0.85, 0.8),
        train_name="train_loss",
        validation_name="val_loss",
        chance=2.3,
        rough_chance=2.3,
    )
    return replace(seen, **changes)


def schedule(**changes: Any) -> ScheduleSeen:
    """Build a cosine as long as the run of 1000 optimizer steps in 10 epochs."""
    seen = ScheduleSeen(
        where="lr_schedulers[0]", step=0, epoch=0, kind="CosineAnnealingLR", argument="T_max", length=1000.0, num_planned=1000.0,
        num_optimizer_steps=1000.0, num_epochs=10.0, rises_again=True,
    )  # fmt: skip
    return replace(seen, **changes)


def optimizer_setting(**changes: Any) -> OptimizerSettingSeen:
    """Build Adam with its defaults."""
    seen = OptimizerSettingSeen(where="optimizers[0]", step=0, epoch=0, kind="Adam", betas=(0.9, 0.999), eps=1e-8)
    return replace(seen, **changes)


def rate(**changes: Any) -> RateSeen:
    """Build a learning rate in the middle of a run."""
    return replace(RateSeen(step=1200, epoch=2, num_groups=2, largest=1e-3, num_planned=10_000.0), **changes)


def scaler(**changes: Any) -> ScalerSeen:
    """Build a gradient scaler that has skipped one of its steps."""
    return replace(ScalerSeen(step=1200, epoch=2, num_samples=20, num_skipped=1, span=900, scale=65536.0), **changes)


def clipping(**changes: Any) -> ClippingSeen:
    """Build clipping that cuts the peaks of the gradient."""
    seen = ClippingSeen(step=1200, epoch=2, limit=1.0, kind="SGD", is_plain=True, num_samples=20, num_clipped=2, span=900)
    return replace(seen, **changes)


def decay(**changes: Any) -> DecaySeen:
    """Build SGD with momentum and the usual L2 regularisation."""
    seen = DecaySeen(
        where="optimizers[0]", step=1200, epoch=2, kind="SGD", decay=5e-4, rate=0.1, shrinkage=5e-4, pull=0.05, norm_ratio=0.9,
        norm_span=200, span=200, num_samples=5,
    )  # fmt: skip
    return replace(seen, **changes)


def adaptive_step(**changes: Any) -> AdaptiveStepSeen:
    """Build the steps of Adam on two weight matrices."""
    seen = AdaptiveStepSeen(
        step=1200, epoch=2, kinds=("Adam", "Adam"), parameters=("body.weight", "head.weight"), eps=(1e-8, 1e-8), sizes=(0.2, 0.3),
        gradient_rms=(3e-3, 2e-3), spans=(200, 200), num_samples=(5, 5),
    )  # fmt: skip
    return replace(seen, **changes)


def precision(**changes: Any) -> PrecisionSeen:
    """Build bfloat16 weights of which half have moved."""
    seen = PrecisionSeen(
        where="encoder.3.weight", step=1200, epoch=2, dtype="bfloat16", num_values=1024, num_unchanged=512, span=60, num_samples=5,
        rate=1e-3, largest_rate=1e-3,
    )  # fmt: skip
    return replace(seen, **changes)


def average(**changes: Any) -> AverageSeen:
    """Build an average that was updated at each step."""
    return replace(AverageSeen(where="ema", step=1200, epoch=2, kind="AveragedModel", num_steps=1200, num_updates=1200), **changes)


def repeated_batch(**changes: Any) -> RepeatedBatchSeen:
    """Build a batch of 32 different samples that data echoing repeats."""
    seen = RepeatedBatchSeen(step=5, epoch=0, num_batches=6, num_samples=32, bits=800.0, population=1000)
    return replace(seen, **changes)


def epoch_order(**changes: Any) -> EpochOrderSeen:
    """Build the beginnings of two shuffled epochs, of which one batch is the same."""
    seen = EpochOrderSeen(step=31, epoch=1, num_batches=8, num_equal=1, num_samples=256, bits=160.0, sampler="RandomSampler")
    return replace(seen, **changes)


def worker_samples(**changes: Any) -> WorkerSamplesSeen:
    """Build a stream that four workers share, with few repeated samples."""
    seen = WorkerSamplesSeen(
        step=8, epoch=0, num_workers=4, is_iterable=True, num_samples=256, num_across=12, num_within=4, num_rounds=2
    )
    return replace(seen, **changes)


def overlap(**changes: Any) -> OverlapSeen:
    """Build a validation set that shares four of a thousand samples with training, where one in a hundred has an equal one."""
    seen = OverlapSeen(
        where="val_dataloader", step=99, epoch=0, shared_by="bytes", num_validation=1000, num_shared=4, num_train=4000,
        num_repeated=40,
    )  # fmt: skip
    return replace(seen, **changes)


def sampler(**changes: Any) -> SamplerSeen:
    """Build a sampler with a weight for each of a thousand samples."""
    seen = SamplerSeen(
        where="train_dataloader", step=0, epoch=0, kind="WeightedRandomSampler", num_samples=1000, num_weights=1000, highest=999
    )
    return replace(seen, **changes)


def time_axis(**changes: Any) -> TimeAxisSeen:
    """Build an LSTM that takes its time from dimension 0, on an input whose batch is in dimension 1."""
    seen = TimeAxisSeen(
        where="rnn", step=0, epoch=0, function="lstm", source="net.py:12, `self.rnn(x)`", shape=(20, 64, 8), is_batch=False,
        target_shapes=((64,),),
    )  # fmt: skip
    return replace(seen, **changes)


def position_axis(**changes: Any) -> PositionAxisSeen:
    """Build positions that are added along the time of an input whose batch is in dimension 1."""
    seen = PositionAxisSeen(
        where="pos", step=0, epoch=0, source="net.py:12, `x + self.pe[:x.size(0)]`", table="pos.pe", table_shape=(500, 1, 32),
        shape=(20, 64, 32), is_batch=False, target_shapes=((64,),), mixed_lengths=(20,),
    )  # fmt: skip
    return replace(seen, **changes)


def reshaped_classes(**changes: Any) -> ReshapedClassesSeen:
    """Build logits of (batch, time, classes) that were flattened to (samples, classes)."""
    seen = ReshapedClassesSeen(
        step=0, epoch=0, function="cross_entropy", source="train.py:48, `F.cross_entropy(x, y)`",
        reshaped_by="train.py:47, `x.view(-1, 10)`", layer="linear", layer_path="head", shape_before=(8, 5, 10), channel_dim=2,
        shape=(40, 10),
    )  # fmt: skip
    return replace(seen, **changes)


def validation_change(**changes: Any) -> ValidationChangeSeen:
    """Build two validations on the same bytes."""
    return replace(ValidationChangeSeen(where="val_dataloader", step=99, epoch=1, num_samples=500, num_changed=0), **changes)


def reset(**changes: Any) -> ResetSeen:
    """Build an epoch that begins with the weights of the one before."""
    return replace(ResetSeen(step=200, epoch=2, num_replaced=0, num_compared=8), **changes)


def rank_data(**changes: Any) -> RankDataSeen:
    """Build two ranks that had the same batch once, by chance."""
    return replace(RankDataSeen(step=100, epoch=0, num_steps=1, num_different=1), **changes)


def replica(**changes: Any) -> ReplicaSeen:
    """Build copies that differ by less than their precision."""
    return replace(
        ReplicaSeen(where="encoder.0.weight", step=100, epoch=0, smallest=2.0, largest=2.000001, num_compared=64), **changes
    )


def monitor_spread(**changes: Any) -> MonitorSpreadSeen:
    """Build a monitored metric that is reduced over ranks."""
    return replace(MonitorSpreadSeen(where="val_loss", step=100, epoch=1, kind="EarlyStopping", values=(0.5, 0.5)), **changes)


def log_keys(**changes: Any) -> LogKeysSeen:
    """Build a metric that both ranks have logged."""
    return replace(LogKeysSeen(where="val_loss", step=100, epoch=1, with_it=(0, 1)), **changes)


def random_state(**changes: Any) -> RandomStateSeen:
    """Build ranks that drew the same random numbers once."""
    return replace(RandomStateSeen(step=100, epoch=0, num_steps=1), **changes)


def straggler(**changes: Any) -> StragglerSeen:
    """Build a slowest rank that is hardly slower than the others."""
    return replace(StragglerSeen(step=100, epoch=0, rank=1, seconds=0.110, others=0.100, num_windows=9), **changes)


def healthy() -> list[Seen]:
    """Return healthy observations of every kind, on which every rule is silent."""
    accuracy = {"mode": "max", "train": (0.5, 0.7, 0.9), "validation": (0.5, 0.65, 0.8), "chance": None}
    return [
        activation(),
        activation(dtype="float16", largest=FLOAT16_LARGEST),
        sigmoid(),
        activation_profile(),
        dead_units(),
        masked_scores(),
        scale_search(),
        gradient(),
        gradient(kind="embedding"),
        gradient(kind="bias", num_dims=1),
        gradient_profile(),
        gradient_norm(),
        absent_gradient(),
        absent_gradient(num_steps=0),
        clearing(),
        no_step(),
        held_graphs(),
        symmetry(),
        duplicate_units(),
        frozen_update(),
        update(),
        update(kind="bias", num_dims=1),
        update_profile(),
        loss_call(),
        loss_call(stage="validate", is_trained=False),
        broadcast(),
        broadcast(is_metric=True, num_with_grad=1),
        equality(),
        self_similarity(),
        objective(),
        whole_loss(),
        reduced_weights(),
        class_weights(),
        parameter(),
        parameter(trainable=False, receives_gradient=False, num_optimizers=0),
        parameter(receives_gradient=False, num_optimizers=0),
        optimizer(),
        model(),
        model(num_targets=None),
        metric(),
        metric(stage="test"),
        load(),
        monitor(),
        sampler(),
        time_axis(),
        position_axis(),
        reshaped_classes(),
        monitor(where="val_acc", mode="max"),
        initial_profile(),
        unregistered_parameter(),
        softmax(),
        stacked_layers(),
        norm_call(),
        choice(),
        attention(),
        key_mask(),
        next_token(),
        output_spread(),
        predictions(),
        convolution_input(),
        layer_input(),
        layer_input(is_image=True, shape=(64, 1, 8, 8), num_values=4096, std=0.3, mean=0.4, largest=1.0),
        padding(),
        constant_input(),
        labels(),
        label_shift(),
        input_shift(),
        loss(),
        loss(chance=None, loss_name=""),
        dropout(),
        dropout(stage="validate", training=False),
        batchnorm(),
        batchnorm(stage="validate", training=False),
        batchnorm(training=False, frozen=True),
        random_evaluation(),
        random_evaluation(has_advanced=True, has_dropout=True),
        running_statistics(),
        running_statistics(shift=20.0, frozen=True),
        mode_loss(),
        repeated_batch(),
        epoch_order(),
        epoch_order(sampler="", num_equal=8),
        worker_samples(),
        worker_samples(num_across=0, num_within=200),
        overlap(),
        overlap(num_shared=0, num_repeated=0),
        validation_change(),
        reset(),
        reset(num_replaced=1, num_in_a_row=6),  # a head that is drawn again for each epoch
        rank_data(),
        rank_data(num_steps=100),  # one batch that never changes
        replica(),
        monitor_spread(),
        log_keys(),
        random_state(),
        straggler(),
        gap(),
        gap(final=True),
        gap(where="accuracy", **accuracy),
        schedule(),
        schedule(length=10.0, num_planned=10.0, interval="epoch"),
        optimizer_setting(),
        optimizer_setting(kind="SGD", betas=(), eps=None, momentum=0.9, dampening=0.0),
        rate(),
        scaler(),
        clipping(),
        decay(),
        decay(kind="AdamW", pull=None, shrinkage=1e-4),
        adaptive_step(),
        precision(),
        average(),
    ]


def speaks(rule: Rule[Any], seen: Seen, *words: str, severity: Severity | None = None, where: str | None = None) -> Finding:
    """Assert that a rule speaks about `seen`, in good form, and return its finding.

    Args:
        rule: The rule.
        seen: The fault.
        words: What the message must say.
        severity: Expected severity, if not the rule's own.
        where: Expected place, if not the observation's own.
    """
    finding = rule.check(seen)
    assert finding is not None, f"{rule.code} is silent on {seen}"
    assert (finding.code, finding.name, finding.why, finding.fix) == (rule.code, rule.name, rule.why, rule.fix)
    assert finding.severity is (rule.severity if severity is None else severity)
    assert (finding.step, finding.epoch, finding.rank) == (seen.step, seen.epoch, seen.rank)
    assert finding.where == (seen.where if where is None else where)
    for word in words:
        assert word in finding.message, f"{word!r} is not in {finding.message!r}"
    assert "\n" not in finding.message
    assert "!" not in finding.message
    assert not finding.message.endswith(".")
    assert any(character.isdigit() for character in finding.message)
    assert finding.evidence
    assert all(isinstance(value, float | int | str) for value in finding.evidence.values()), finding.evidence
    json.dumps(finding.as_dict(), allow_nan=False)
    return finding


def silent(rule: Rule[Any], seen: Seen) -> None:
    """Assert that a rule has nothing to say about `seen`."""
    finding = rule.check(seen)
    assert finding is None, finding and finding.headline
