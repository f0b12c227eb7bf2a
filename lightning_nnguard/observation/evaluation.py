"""What is seen of how evaluation differs from training."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class RandomEvaluationSeen(Seen):
    """Whether torch's random state moved on in an audited batch of evaluation. `where` is "", the whole run.

    Attributes:
        stage: Loop in which it ran.
        has_advanced: Whether it did.
        calls: The calls that drew random numbers, dropout apart, each once: "vae.py:31, `torch.randn_like(std)` in `net.sampler`";
            one that only library code made is named by its function. Empty when no such call was seen.
        num_calls: How many calls drew random numbers, dropout apart.
        has_dropout: Whether dropout was active.
    """

    stage: Stage
    has_advanced: bool = False
    calls: tuple[str, ...] = ()
    num_calls: int = 0
    has_dropout: bool = False


@dataclass(frozen=True, kw_only=True)
class RunningStatisticsSeen(Seen):
    """Running statistics that one batch norm used in an audited batch, against those of its input. `where` is the module.

    Attributes:
        stage: Loop in which it ran.
        source: "net.py:12, `self.norm(x)`"; None when only library code made the call.
        num_channels: Channels.
        num_samples: Samples of the batch.
        num_values: Values of each channel.
        shift: Distance of the batch mean from the running mean, in running standard deviations; median over channels.
        variance_ratio: Variance of the batch / running variance; median over channels.
        spread_ratio: Mean square distance of the batch from the running mean / running variance; mean over channels. In a batch of
            like samples it stays about 1, where the variance does not.
        is_untouched: Whether the running statistics are 0 and 1, as in a new layer.
        momentum: Weight of the latest batch in the running statistics; 0 when it is the average of all batches.
        frozen: Whether the layer's weight is frozen.
    """

    stage: Stage
    source: str | None = None
    num_channels: int = 32
    num_samples: int = 64
    num_values: int = 64
    shift: float = 0.1
    variance_ratio: float = 1.0
    spread_ratio: float = 1.0
    is_untouched: bool = False
    momentum: float = 0.1
    frozen: bool = False


@dataclass(frozen=True, kw_only=True)
class ModeLossSeen(Seen):
    """The loss of one training batch in train mode and in eval mode, from the same weights; each was measured twice.

    Attributes:
        train_loss: Larger one of the losses in train mode.
        eval_loss: Smaller one of the losses in eval mode.
        first_loss: The chance level of the loss if that is known, else the run's first training loss.
        num_samples: Samples of the batch; 0 when unknown.
    """

    train_loss: float
    eval_loss: float
    first_loss: float
    num_samples: int = 64
