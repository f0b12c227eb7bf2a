"""What is seen of a run's set-up: who trains which parameter, what was loaded, what is monitored, who updates which metric."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class ParameterSeen(Seen):
    """Who trains one parameter of the model, on the first two sampled steps of an epoch. `where` is its name.

    Attributes:
        trainable: Whether it requires a gradient.
        num_optimizers: Optimizers that hold it.
        receives_gradient: Whether it had a gradient when an optimizer stepped or when the batch ended.
        is_new: Whether no parameter had its name when training began.
        became_trainable: Whether it was frozen when training began, or at an earlier look, and is trainable now.
        is_written: Whether no optimizer holds it, but values of such parameters change: somebody moves them by hand.
        num_repeats: Steps in the batch that used the very gradient that the step of another optimizer had used before.
        num_alike: Optimizers that stepped on this batch, hold this parameter, and hold exactly the same parameters.
    """

    trainable: bool = True
    num_optimizers: int = 1
    receives_gradient: bool = True
    is_new: bool = False
    became_trainable: bool = False
    is_written: bool = False
    num_repeats: int = 0
    num_alike: int = 1


@dataclass(frozen=True, kw_only=True)
class OptimizerSeen(Seen):
    """What one optimizer holds. `where` is its place, such as "optimizers[0]".

    Attributes:
        kind: Its class.
        num_tensors: Tensors that it holds.
        num_foreign: Those that are no parameters of the model; parameters of a loss or a teacher outside of the model are.
        num_stale: Foreign ones without a gradient for each of which the model has a parameter of the same shape and type that
            receives gradients while no optimizer holds it.
        replaced_by: Names of those parameters, at most three.
    """

    kind: str
    num_tensors: int
    num_foreign: int = 0
    num_stale: int = 0
    replaced_by: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelSeen(Seen):
    """The size of what is trained.

    Attributes:
        num_parameters: Parameters (tensors) of the model.
        num_trainable: Parameters that require a gradient, those that an optimizer holds from outside of the model included.
        num_values: Elements of the trainable parameters.
        num_targets: Targets in the training set: its samples times the targets that the loss compares for each; None when unknown.
        is_fine_tuned: Whether a part is frozen, or the gains of normalisation layers were not constant when training began, as
            they are in a fresh model.
    """

    num_parameters: int
    num_trainable: int
    num_values: int
    num_targets: float | None = None
    is_fine_tuned: bool = False


@dataclass(frozen=True, kw_only=True)
class MetricSeen(Seen):
    """One metric object of torchmetrics that an evaluation has updated. `where` is its module path.

    Attributes:
        stage: The evaluation.
        kind: Its class.
        num_carried: Updates that it held when the evaluation began.
        in_training: Whether training steps update it, too.
        is_read: Whether its state over several batches is used: it was computed at the end of the evaluation, or it is only ever
            updated, so that there is nothing else to use.
        mixes_on_purpose: Whether its update takes a flag `real`: it compares real samples of any stage with made ones.
    """

    stage: Stage
    kind: str
    num_carried: int = 0
    in_training: bool = False
    is_read: bool = True
    mixes_on_purpose: bool = False


@dataclass(frozen=True, kw_only=True)
class LoadSeen(Seen):
    """The latest call of `load_state_dict` on one module, between the Trainer's `setup` and the first batch. `where` is the module.

    Attributes:
        source: "train.py:48, `self.net.load_state_dict(weights, strict=False)`"; None when only library code made the call.
        num_given: Keys of the state that was loaded.
        num_unused: Those that the module does not know.
        num_keys: Keys of the module.
        num_missing: Those that the state does not have.
        given: One of the unused keys; "" for none.
        wanted: One of the missing keys; "" for none.
    """

    source: str | None = None
    num_given: int
    num_unused: int = 0
    num_keys: int
    num_missing: int = 0
    given: str = ""
    wanted: str = ""


@dataclass(frozen=True, kw_only=True)
class MonitorSeen(Seen):
    """What a callback or a scheduler monitors. `where` is the metric's name.

    Attributes:
        kind: Its class.
        mode: "min" when lower counts as better, "max" when higher does.
    """

    kind: str
    mode: str
