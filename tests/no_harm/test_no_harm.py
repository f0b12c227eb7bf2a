"""Do no harm: whatever the strategy, the precision, the optimisation mode and the life cycle, a guarded run is bit-identical."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from lightning_nnguard import NNGuard
from tests.callbacks.ranked import on_ranks
from tests.no_harm.cases import ALL_CASES, CASES, Case
from tests.no_harm.cycles import CYCLES, Run
from tests.no_harm.witness import read, same

CHOSEN = ALL_CASES if os.environ.get("NNGUARD_ALL_COMBINATIONS") else CASES


def live(case: Case, folder: Path, guards: list[Any], *, is_last: bool = False) -> str:
    """Run a case, write what it returned beside what its witnesses found, and return what it said."""
    folder.mkdir()

    def work(rank: int) -> None:
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        run = Run(case.strategy, case.precision, case.mode, folder, guards, is_last)
        returned = CYCLES[case.cycle](run)
        torch.save(returned, folder / f"returned {rank}.pt")

    if case.strategy in {"ddp", "FSDP2"}:
        return "\n".join(on_ranks(2, work, folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work(0)
    return ""


@pytest.mark.parametrize("case", CHOSEN, ids=", ".join)
def test_a_guarded_run_is_bit_identical(case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guard = NNGuard(every_n_steps=2)
    said = live(case, tmp_path / "bare", [])
    assert "Traceback" not in said, said
    said = live(case, tmp_path / "guarded", [guard], is_last=CHOSEN.index(case) % 2 == 1)
    said += "".join(capfd.readouterr())
    assert "note:" not in said, said
    assert "Traceback" not in said, said
    bare, guarded = read(tmp_path / "bare"), read(tmp_path / "guarded")
    assert bare.keys() == guarded.keys()
    assert len(bare) >= (1 if case.strategy == "one process" else 2)
    differing = {entry: [part for part in bare[entry] if not same(bare[entry][part], guarded[entry][part])] for entry in bare}
    assert differing == {entry: [] for entry in bare}
    assert case.strategy == "FSDP2" or all(found["hooks"] == found["function modes"] == [] for found in guarded.values())
    for file in (tmp_path / "bare").glob("returned *.pt"):
        assert same(*(torch.load(tmp_path / run / file.name, weights_only=False) for run in ("bare", "guarded")))


class Harm(pl.Callback):
    """Does one harm in the middle of training."""

    def __init__(self, harm: str) -> None:
        self.harm = harm

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        match self.harm:
            case "weights":
                pl_module.net.head.bias.data.add_(1e-7)
            case "buffers":
                pl_module.net.norm.running_mean.add_(1e-7)
            case "optimizers":
                trainer.optimizers[0].param_groups[0]["weight_decay"] = 1e-30
            case "random":
                torch.rand(1)
            case "logged":
                pl_module.log("train_acc", 0.5)
            case "hooks":
                pl_module.net.head.register_forward_hook(lambda *args: None)
            case "training":
                pl_module.net.drop.eval()
            case "gradients":
                pl_module.net.head.bias.grad = None
            case "requires_grad":
                pl_module.net.act.register_parameter("new", nn.Parameter(torch.ones(1)))
            case "weak references":
                self.kept = torch.utils.weak.WeakTensorKeyDictionary({pl_module.net.head.bias: 1})


@pytest.mark.parametrize(
    "harm",
    ["weights", "buffers", "optimizers", "random", "logged", "hooks", "training", "gradients", "requires_grad", "weak references"],
)
def test_the_comparison_sees_harm(harm: str, tmp_path: Path) -> None:
    case = Case("one process", "32-true", "automatic", "fit once")
    live(case, tmp_path / "bare", [])
    live(case, tmp_path / "harmed", [Harm(harm)])
    bare, harmed = read(tmp_path / "bare")["rank 0 0"], read(tmp_path / "harmed")["rank 0 0"]
    assert not same(bare[harm], harmed[harm])


def test_the_cases_take_each_pair_of_values() -> None:
    def tried(cases: list[Case]) -> set[tuple[str, str]]:
        return set[tuple[str, str]]().union(*(case.pairs() for case in cases))

    one = [case for case in CASES if case.strategy == "one process"]
    assert tried(one) == tried([case for case in ALL_CASES if case.strategy == "one process"])
    assert len(one) < 130
    for strategy in ("ddp", "FSDP2", "ddp_fork"):
        values = {value for case in CASES if case.strategy == strategy for value in case}
        assert len(values) >= (24 if strategy == "ddp" else 14), strategy
