"""From the record of an audited batch to observations: one reader for each kind of observation, all of them pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning_nnguard.observation import (
    AttentionSeen,
    BroadcastSeen,
    ChoiceSeen,
    ConvolutionInputSeen,
    EqualitySeen,
    KeyMaskSeen,
    LayerInputSeen,
    LossCallSeen,
    NextTokenSeen,
    NormCallSeen,
    ObjectiveSeen,
    PaddingSeen,
    PositionAxisSeen,
    RandomEvaluationSeen,
    ReducedWeightsSeen,
    ReshapedClassesSeen,
    RunningStatisticsSeen,
    Seen,
    SelfSimilaritySeen,
    SoftmaxSeen,
    StackedLayersSeen,
    TimeAxisSeen,
    UnregisteredParameterSeen,
    WholeLossSeen,
)
from lightning_nnguard.probe.audit.readers.attentions import attentions
from lightning_nnguard.probe.audit.readers.axes import reshaped_classes, time_axes
from lightning_nnguard.probe.audit.readers.broadcasts import broadcasts
from lightning_nnguard.probe.audit.readers.choices import choices, softmaxes
from lightning_nnguard.probe.audit.readers.equalities import equalities
from lightning_nnguard.probe.audit.readers.key_masks import key_masks
from lightning_nnguard.probe.audit.readers.layer_inputs import layer_inputs
from lightning_nnguard.probe.audit.readers.layers import convolution_inputs, norm_calls, stacked_layers
from lightning_nnguard.probe.audit.readers.loss_calls import loss_calls
from lightning_nnguard.probe.audit.readers.next_tokens import next_tokens
from lightning_nnguard.probe.audit.readers.objectives import objectives
from lightning_nnguard.probe.audit.readers.paddings import paddings
from lightning_nnguard.probe.audit.readers.position_axes import position_axes
from lightning_nnguard.probe.audit.readers.random_evaluations import random_evaluations
from lightning_nnguard.probe.audit.readers.reduced_weights import reduced_weights
from lightning_nnguard.probe.audit.readers.running_statistics import running_statistics
from lightning_nnguard.probe.audit.readers.similarities import self_similarities
from lightning_nnguard.probe.audit.readers.unregistered import unregistered_parameters
from lightning_nnguard.probe.audit.readers.whole_losses import whole_losses
from lightning_nnguard.probe.audit.record import Record

Reader = Callable[[Record], Sequence[Any]]

#: What is seen -> its reader.
READERS: Mapping[type[Seen], Reader] = {
    AttentionSeen: attentions,
    BroadcastSeen: broadcasts,
    EqualitySeen: equalities,
    SelfSimilaritySeen: self_similarities,
    KeyMaskSeen: key_masks,
    LayerInputSeen: layer_inputs,
    PaddingSeen: paddings,
    PositionAxisSeen: position_axes,
    LossCallSeen: loss_calls,
    NextTokenSeen: next_tokens,
    ObjectiveSeen: objectives,
    WholeLossSeen: whole_losses,
    RandomEvaluationSeen: random_evaluations,
    ReducedWeightsSeen: reduced_weights,
    RunningStatisticsSeen: running_statistics,
    ChoiceSeen: choices,
    ConvolutionInputSeen: convolution_inputs,
    NormCallSeen: norm_calls,
    SoftmaxSeen: softmaxes,
    StackedLayersSeen: stacked_layers,
    TimeAxisSeen: time_axes,
    ReshapedClassesSeen: reshaped_classes,
    UnregisteredParameterSeen: unregistered_parameters,
}
