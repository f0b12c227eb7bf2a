import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.nonfinite import BatchKept
from lightning_nnguard.probe.origin import find_origin
from lightning_nnguard.probe.replay import replay, save_batch

ZEROS = (torch.zeros(4, 3), torch.zeros(4))


class Scale(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "log":
            return torch.log(x)
        if self.kind == "division":
            return x / x.sum()
        if self.kind == "mask":
            scores = (x @ x.T).masked_fill(torch.eye(len(x), dtype=torch.bool), float("-inf"))
            return F.softmax(scores, dim=1) @ x
        return x


class Net(L.LightningModule):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.scale = Scale(kind)
        self.head = nn.Linear(3, 1)
        self.norm = nn.BatchNorm1d(1)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = F.mse_loss(self.norm(self.head(self.scale(batch[0])))[:, 0], batch[1])
        self.log("loss", loss)
        return loss


@pytest.mark.parametrize(("kind", "function"), [("log", "log"), ("division", "div")])
def test_names_the_call_and_the_line(kind: str, function: str):
    origin = find_origin(Net(kind), ZEROS, 0, rng=None)
    assert origin is not None
    assert function in origin.function
    assert origin.where == "scale"
    assert origin.source is not None
    assert origin.source.startswith("test_origin.py:")


@pytest.mark.pitfall(20)
@pytest.mark.parametrize("kind", ["mask", "none"])
def test_masks_on_purpose_and_good_steps_have_no_origin(kind: str):
    assert find_origin(Net(kind), (torch.randn(4, 3), torch.zeros(4)), 0, rng=None) is None


def test_the_module_and_the_random_state_stay_as_they_are():
    module = Net("log")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    find_origin(module, ZEROS, 0, rng=torch.Generator().manual_seed(3).get_state())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert "log" not in vars(module)


def test_a_step_that_raises_has_the_origin_found_before():
    class Raises(Net):
        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
            self.scale(batch[0])
            raise RuntimeError("no trainer here")

    origin = find_origin(Raises("log"), ZEROS, 0, rng=None)
    assert origin is not None
    assert origin.function == "log"


def kept(batch: object) -> BatchKept:
    return BatchKept(batch=batch, at=At(step=7, epoch=1, batch_index=3), rng=torch.get_rng_state())


def test_replay_shows_where_it_breaks(tmp_path: Path):
    save_batch(Net("log"), kept(ZEROS), tmp_path / "a" / "bad.pt")
    report = replay(tmp_path / "a" / "bad.pt")
    assert "step 7, epoch 1, batch 3" in report
    assert "forward: log at test_origin.py:" in report


def test_replay_shows_bad_inputs_and_weights(tmp_path: Path):
    module = Net("none")
    with torch.no_grad():
        module.head.bias.fill_(torch.nan)
    save_batch(module, kept((torch.tensor([[torch.inf, 1, 1]]), torch.zeros(1))), tmp_path / "bad.pt")
    report = replay(tmp_path / "bad.pt")
    assert "input: batch[0] holds 1 non-finite of 3 values" in report
    assert "weight: head.bias was already non-finite" in report


def test_replay_refuses_other_files(tmp_path: Path):
    (tmp_path / "other.pt").write_text("hello")
    with pytest.raises(ValueError, match="cannot be read as a saved batch"):
        replay(tmp_path / "other.pt")
    torch.save({"a": 1}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="is not a batch saved by NNGuard"):
        replay(tmp_path / "other.pt")


SCRIPT = """
import lightning as L, torch
from torch import nn
from pathlib import Path
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.nonfinite import BatchKept
from lightning_nnguard.probe.replay import save_batch

class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 1)
    def training_step(self, batch, batch_idx):
        return self.head(batch.sqrt()).sum()

if __name__ == "__main__":
    kept = BatchKept(batch=-torch.ones(2, 2), at=At(step=1, epoch=0, batch_index=1), rng=torch.get_rng_state())
    save_batch(Net(), kept, Path("bad.pt"))
"""


def test_command_replays_a_class_of_the_training_script(tmp_path: Path):
    (tmp_path / "train.py").write_text(SCRIPT)
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True)
    (tmp_path / "moved").mkdir()
    (tmp_path / "train.py").rename(tmp_path / "moved" / "train.py")
    command = [str(Path(sys.executable).parent / "nnguard"), "replay", "bad.pt"]
    lost = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert lost.returncode == 2
    assert "--script" in lost.stdout + lost.stderr
    found = subprocess.run([*command, "--script", "moved/train.py"], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "sqrt at train.py:14" in found.stdout
