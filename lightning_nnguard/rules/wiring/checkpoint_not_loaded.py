"""NNG223."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LoadSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class CheckpointNotLoaded(Rule[LoadSeen]):
    """Checkpoint of which next to nothing was loaded, without an error.

    What it checks:
        The keys of each `load_state_dict` between the Trainer's `setup` and the first batch, a checkpoint that the Trainer restores
        with `strict_loading=False` included. It is told when more than half of the module's keys are missing in the checkpoint and
        hardly any key of the checkpoint was used. The latest load of each module counts.

        What is loaded earlier is not seen: in the module's `__init__`, by `load_from_checkpoint`, or before the Trainer is called.
        Neither is what is loaded into a layer that is itself made in `setup` or `configure_model`.

    Why it matters:
        With `strict=False` names that differ by a prefix are passed over, and the model trains from random weights. The result is a
        run that is merely worse than it should be.

    How to fix:
        Make the names agree, for instance with
        `{key.removeprefix("model."): value for key, value in state.items()}`, and look at what `load_state_dict` returns.

    When it is harmless:
        Adapters, heads or backbones that are loaded alone: the module misses many keys, but the checkpoint's keys are used, so
        nothing is said.

    References:
        PyTorch documentation, `torch.nn.Module.load_state_dict`.
    """

    code: ClassVar[str] = "NNG223"
    name: ClassVar[str] = "checkpoint-not-loaded"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "names differ, so strict=False passed them over and the model starts from random weights"
    fix: ClassVar[str] = (
        "rename the keys, {k.removeprefix('model.'): v for k, v in state.items()}, and check what load_state_dict returns"
    )

    max_missing_fraction: float = threshold(0.5, "largest fraction of the module's keys that the checkpoint does not have", high=1)
    max_unused_fraction: float = threshold(0.9, "largest fraction of the checkpoint's keys that the module does not know", high=1)

    def check(self, seen: LoadSeen) -> Finding | None:
        """Judge one load."""
        if not seen.num_given or not seen.num_keys:
            return None
        missing, unused = seen.num_missing / seen.num_keys, seen.num_unused / seen.num_given
        if missing <= self.max_missing_fraction or unused <= self.max_unused_fraction:
            return None
        source = f" at {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"load_state_dict{source} used {seen.num_given - seen.num_unused} of {seen.num_given} keys, such as {seen.given!r} "
            f"(unused {unused:.2f}, threshold {self.max_unused_fraction:g}), and found {seen.num_keys - seen.num_missing} of the "
            f"module's {seen.num_keys}, such as {seen.wanted!r} (missing {missing:.2f}, threshold {self.max_missing_fraction:g})",
            evidence={
                "num_given": seen.num_given, "num_unused": seen.num_unused, "num_keys": seen.num_keys,
                "num_missing": seen.num_missing, "unused_fraction": unused, "max_unused_fraction": self.max_unused_fraction,
                "missing_fraction": missing, "max_missing_fraction": self.max_missing_fraction,
            },
        )  # fmt: skip
