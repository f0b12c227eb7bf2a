"""The audit in real trainings: what it records, how often, what it leaves behind, and what it changes, which is nothing."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from lightning.pytorch.callbacks import BaseFinetuning
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from lightning_nnguard import Finding, NNGuard, NNGuardWarning
from lightning_nnguard.observation import LossCallSeen, Seen
from lightning_nnguard.probe import mode_losses
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.audit import audit as audit_module
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.tape import Tape
from lightning_nnguard.probe.schedule import is_sampled
from tests.callbacks.ranked import two_ranks
from tests.programs import Classifier, blobs, fit, hooks_in, loader, trainer

EVERY = 3


@pytest.fixture(autouse=True)
def _findings_do_not_raise() -> None:
    warnings.filterwarnings("ignore", category=NNGuardWarning)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """All records of audited batches."""
    made: list[Record] = []

    def record(**content: Any) -> Record:
        made.append(Record(**content))
        return made[-1]

    monkeypatch.setattr(audit_module, "Record", record)
    return made


def guard(*codes: str, **changes: Any) -> NNGuard:
    return NNGuard(**{"select": list(codes or ("NNG208",)), "every_n_steps": EVERY, **changes})


def functions(record: Record) -> list[str]:
    return [call.function for call in record.calls]


class Softmaxed(Classifier):
    """Softmax before cross-entropy."""

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        loss = F.cross_entropy(F.softmax(self(batch[0]), dim=1), batch[1])
        self.log(f"{stage}_loss", loss)
        return loss


def only(watch: NNGuard) -> Finding:
    (finding,) = watch.findings
    return finding


# -- ways of training ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"accumulate_grad_batches": 3}, {"precision": "bf16-mixed"}, {"gradient_clip_val": 0.1}], ids=str
)
def test_a_fault_is_named_with_its_line_from_the_first_step(options: dict[str, Any], records: list[Record]) -> None:
    watch = guard()
    fit(Softmaxed(), watch, **options)
    finding = only(watch)
    assert (finding.code, finding.step, finding.rank) == ("NNG208", 0, None)
    assert "`F.softmax(self(batch[0]), dim=1)`" in finding.message
    first = records[0]
    assert (first.stage, first.manual, first.is_whole, len(first.losses)) == ("train", False, True, 1)
    assert functions(first).count("cross_entropy") == 1
    assert [value.label for value in first.batch] == ["batch[0]", "batch[1]"]


def test_accumulation_is_audited_in_the_batch_that_steps(records: list[Record]) -> None:
    fit(Softmaxed(), guard(), accumulate_grad_batches=3, max_epochs=1)
    assert [record.at.batch_index for record in records] == [2]


def test_mixed_precision_is_recorded_as_it_ran(records: list[Record]) -> None:
    fit(Softmaxed(), guard(), precision="bf16-mixed", max_epochs=1)
    linear, softmax = (next(call for call in records[0].calls if call.function == name) for name in ("linear", "softmax"))
    assert linear.inputs[0].dtype == "float32"
    assert softmax.inputs[0].dtype == "bfloat16"


class Together(Classifier):
    """Manual optimisation: two losses, then two backward passes; one of the losses gets probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        for loss in (self.first(batch), self.second(batch)):
            self.manual_backward(loss)
        optimizer.step()

    def first(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def second(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]).softmax(1), batch[1])


class InTurn(Together):
    """The forward of the second loss comes after the first step."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        for make in (self.first, self.second):
            loss = make(batch)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()


@pytest.mark.parametrize("build", [Together, InTurn])
def test_manual_optimisation_is_recorded_whole(build: type[Together], records: list[Record]) -> None:
    watch = guard()
    fit(build(), watch, max_epochs=1)
    assert "`self(batch[0]).softmax(1)`" in only(watch).message
    assert (records[0].manual, len(records[0].losses)) == (True, 2)
    assert functions(records[0]).count("cross_entropy") == 2


class Checkpointed(Softmaxed):
    """Activation checkpointing of the network."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.net, x.requires_grad_(), use_reentrant=self.reentrant)  # type: ignore[no-any-return]


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers_are_recorded_once(reentrant: bool, records: list[Record], told: list[Seen]) -> None:
    watch = guard()
    fit(Checkpointed(reentrant), watch, max_epochs=1)
    assert only(watch).step == 0
    assert functions(records[0]).count("linear") == 3
    assert all(each.is_trained for each in told if isinstance(each, LossCallSeen))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """What audits have told."""
    seen: list[Seen] = []
    merged = audit_module.merged

    def spy(by_rank: Sequence[Sequence[Seen]]) -> list[Seen]:
        seen.extend(merged(by_rank))
        return merged(by_rank)

    monkeypatch.setattr(audit_module, "merged", spy)
    return seen


# -- several ranks ---------------------------------------------------------------------------------------------------------------


class OnRankOne(Classifier):
    def shared_step(self, batch: Any, stage: str) -> Tensor:
        logits = self(batch[0])
        return F.cross_entropy(logits.softmax(1) if self.global_rank == 1 else logits, batch[1])


@pytest.mark.parametrize(("build", "rank"), [(OnRankOne, 1), (Softmaxed, None)])
def test_a_fault_is_told_once_and_bears_its_rank(build: type[Classifier], rank: int | None, tmp_path: Path) -> None:
    ranks = two_ranks(build, guard(), tmp_path, train=loader(96), validation=loader(32), max_epochs=3)
    assert ranks[0].findings == ranks[1].findings
    (finding,) = ranks[0].findings
    assert (finding["code"], finding["rank"], finding["step"]) == ("NNG208", rank, 0)
    assert ranks[0].told.count("why: ") == 1
    assert "NNG" not in ranks[1].told
    assert "note:" not in ranks[0].told
    assert ranks[0].weights == ranks[1].weights


class BlindInEval(Classifier):
    """Sees nothing of its input in eval mode; talks to the other rank in each step when it is told to."""

    talks = False

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.training else 0 * x)

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        loss = super().shared_step(batch, stage)
        if self.talks:
            dist.all_reduce(loss.detach().clone())
        return loss


class Talks(BlindInEval):
    talks = True


def _measure_early() -> None:
    mode_losses._FIRST_STEP = 8


@pytest.mark.parametrize(("build", "names"), [(BlindInEval, ["train-eval-disagreement"]), (Talks, [])])
def test_ranks_run_their_steps_again_without_each_other(build: type[Classifier], names: list[str], tmp_path: Path) -> None:
    bare, guarded = tmp_path / "bare", tmp_path / "guarded"
    bare.mkdir()
    guarded.mkdir()
    watch = guard("NNG607", thresholds={"NNG607": {"max_ratio": 1.0, "min_rise": 0.0}})
    ranks = two_ranks(build, watch, guarded, train=loader(96), max_epochs=4, prepare=_measure_early)
    without, _ = two_ranks(build, None, bare, train=loader(96), max_epochs=4)
    assert ranks[0].names() == ranks[1].names() == names
    assert ranks[0].weights == ranks[1].weights == without.weights
    assert "note:" not in ranks[0].told


# -- how often -------------------------------------------------------------------------------------------------------------------


def moments(records: list[Record], stage: str = "train") -> list[int]:
    return [record.at.step for record in records if record.stage == stage]


def sampled_steps(*, first: int, last: int) -> list[int]:
    return [step for step in range(first, last) if is_sampled(step, EVERY)]


def test_training_is_audited_at_first_and_once_more_after_the_first_epoch(records: list[Record]) -> None:
    fit(Classifier(), guard(), max_epochs=6)
    assert moments(records) == [0, sampled_steps(first=8, last=48)[0]]


class Thaws(BaseFinetuning):
    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.net.first)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 3:
            self.unfreeze_and_add_param_group(pl_module.net.first, optimizer)


class Trainable(Classifier):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([each for each in self.parameters() if each.requires_grad], 0.05)


def test_layers_that_are_unfrozen_are_audited_again(records: list[Record]) -> None:
    fit(Trainable(), guard(), Thaws(), max_epochs=6)
    assert moments(records) == [0, sampled_steps(first=8, last=24)[0], sampled_steps(first=24, last=48)[0]]


class Replaces(Classifier):
    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 3:
            self.net.head = nn.Linear(16, 3)


class Renews(Classifier):
    """Keeps a buffer that is another tensor after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(()))

    def on_train_batch_end(self, *args: Any) -> None:
        self.total = self.total + 1


class Restless(Classifier):
    """Has another parameter in each epoch."""

    def on_train_epoch_start(self) -> None:
        self.extra = nn.Parameter(torch.zeros(1))


def test_layers_that_are_replaced_are_audited_again(records: list[Record]) -> None:
    fit(Replaces(), guard(), max_epochs=6)
    assert moments(records) == [0, sampled_steps(first=8, last=24)[0], sampled_steps(first=24, last=48)[0]]


def test_a_buffer_that_is_always_new_is_no_reason(records: list[Record]) -> None:
    fit(Renews(), guard(), max_epochs=6)
    assert len(moments(records)) == 2


def test_there_is_an_end_to_it(records: list[Record]) -> None:
    fit(Restless(), guard(every_n_steps=1), max_epochs=12)
    assert len(moments(records)) == 8


class Several(Classifier):
    """Takes several loaders."""

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.shared_step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.shared_step(batch, "test")


def test_evaluation_is_audited_at_first_and_when_the_steps_have_doubled(records: list[Record]) -> None:
    fit(Several(), guard(), validation=[loader(24), loader(24)], max_epochs=54)
    # The sanity check, then the first validation from step 100 on, and the first one at twice those steps or more.
    assert moments(records, "validate") == [0, 0, 103, 103, 207, 207, 415, 415]


def test_each_stage_is_audited_by_itself(records: list[Record]) -> None:
    module, watch = Several(), guard()
    made = fit(module, watch, validation=loader(24), max_epochs=1)
    made.test(module, [loader(24), loader(24)], verbose=False)
    made.predict(module, loader(24))
    assert [(record.stage, record.at.batch_index) for record in records] == [
        ("validate", 0), ("train", 0), ("test", 0), ("test", 0), ("predict", 0),
    ]  # fmt: skip
    assert not any(record.losses for record in records if record.stage != "train")


def test_a_batch_that_was_skipped_is_made_up_for(records: list[Record]) -> None:
    class Skips(Classifier):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if self.current_epoch == 1 else None  # ends the epoch before its first batch, which was to be audited

    fit(Skips(), guard(every_n_steps=1), max_epochs=3)
    assert [(record.at.epoch, functions(record).count("cross_entropy")) for record in records] == [(0, 1), (2, 1)]


# -- what it leaves behind -------------------------------------------------------------------------------------------------------


class Watch(pl.Callback):
    """Looks at every place where user code runs whether the audit is at work, and whether it should be."""

    def __init__(self, watch: NNGuard) -> None:
        self.watch = watch
        self.audited: list[int] = []
        self.num_seen = 0

    def _tape(self) -> Tape | None:
        run = self.watch._run
        assert run is not None
        audit = run.probe._parts.audit
        assert audit is not None
        return audit.tape

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.num_seen += 1
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
        if self._tape() is not None:
            self.audited.append(step)
        assert len(_get_current_function_mode_stack()) == is_sampled(step, EVERY)

    def on_train_batch_end(self, *args: Any) -> None:
        assert self._tape() is None
        assert not _get_current_function_mode_stack()

    on_validation_batch_end = on_validation_end = on_train_epoch_end = on_train_end = on_train_batch_end


def test_a_batch_that_is_not_audited_costs_nothing(records: list[Record]) -> None:
    watch = guard()
    look = Watch(watch)
    fit(Classifier(), watch, look, validation=loader(24), max_epochs=4)
    assert look.num_seen == 32
    assert look.audited == moments(records) == [0, sampled_steps(first=8, last=32)[0]]


def test_no_tape_outlives_its_batch() -> None:
    fit(Classifier(), guard(), validation=loader(24), max_epochs=1)
    gc.collect()
    assert [each for each in gc.get_objects() if type(each) is Tape] == []


class Breaks(Softmaxed):
    """Raises in one place of an audited batch, after the loss."""

    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__()
        self.where, self.error = where, error

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        loss = super().shared_step(batch, stage)
        if self.where == stage:
            raise self.error
        return loss

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        if self.where == "optimizer":
            raise self.error


@pytest.mark.parametrize("where", ["train", "optimizer", "val"])
@pytest.mark.parametrize("error", [ZeroDivisionError("theirs"), KeyboardInterrupt()], ids=["exception", "interrupt"])
def test_a_batch_that_breaks_is_told_at_the_end_and_leaves_nothing(where: str, error: BaseException, records: list[Record]) -> None:
    watch = guard()
    module, made = Breaks(where, error), trainer(watch)
    with pytest.raises(SystemExit if isinstance(error, KeyboardInterrupt) else ZeroDivisionError):
        made.fit(module, loader(), loader(24), weights_only=None)
    assert hooks_in(module, made.optimizers) == []
    assert not _get_current_function_mode_stack()
    finding = only(watch)
    assert (finding.code, finding.step) == ("NNG208", 0)
    assert "`F.softmax(self(batch[0]), dim=1)`" in finding.message
    assert [record.is_whole for record in records] == ([False] if where == "val" else [True, False])


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_an_evaluation_that_breaks_leaves_nothing(stage: str) -> None:
    class Fails(Softmaxed):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.shared_step(batch, "test")
            raise ZeroDivisionError

        def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.log = lambda *args, **kwargs: None  # type: ignore[method-assign, assignment]
            return self.test_step(batch, batch_idx)  # type: ignore[return-value]

    watch = guard()
    made, module = trainer(watch), Fails()
    with pytest.raises(ZeroDivisionError):
        getattr(made, stage)(module, loader(24))
    assert not _get_current_function_mode_stack()
    assert only(watch).code == "NNG208"


# -- faults of its own -----------------------------------------------------------------------------------------------------------


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def notes_of(watch: NNGuard, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    notes: list[str] = []
    failed = Attempts.fail

    def spy(attempts: Attempts, error: Exception, part: str = "forward watch") -> None:
        notes.append(part)
        failed(attempts, error, part)

    monkeypatch.setattr(Attempts, "fail", spy)
    return notes


@pytest.mark.parametrize("stage", ["training", "evaluation"])
def test_a_tape_that_fails_turns_off_the_audit_alone(
    stage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    def boom(*args: Any) -> None:
        calls.append(1)
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(Tape, "record", boom)
    torch.manual_seed(1)
    watch = NNGuard(every_n_steps=1)
    module = Softmaxed()
    fit(module, watch, validation=loader(24) if stage == "evaluation" else None, max_epochs=3)
    guarded = weights(module)
    torch.manual_seed(1)
    module = Softmaxed()
    fit(module, validation=loader(24) if stage == "evaluation" else None, max_epochs=3)
    assert all(torch.equal(value, guarded[name]) for name, value in module.state_dict().items())
    told = capsys.readouterr().err
    assert told.count("note: audit turned off after an error: ZeroDivisionError: ours") == 1
    assert told.count("ours") == 1
    assert len(calls) == 1
    assert "NNG208" not in [finding.code for finding in watch.findings]


def test_a_reader_that_fails_turns_off_itself_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def bad_reader(record: Record) -> Sequence[Seen]:
        raise ZeroDivisionError("ours")

    good = audit_module.READERS
    monkeypatch.setattr(audit_module, "READERS", {**dict.fromkeys(good, bad_reader), LossCallSeen: good[LossCallSeen]})
    watch = NNGuard(every_n_steps=1)
    fit(Softmaxed(), watch, max_epochs=2)
    assert "NNG208" in [finding.code for finding in watch.findings]
    assert capsys.readouterr().err.count("note: audit of bad reader turned off after an error: ZeroDivisionError: ours") == 1


class Odd(Classifier):
    """Does in its steps what function modes stumble over."""

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        x, y = batch
        sparse = torch.eye(6).to_sparse() @ x.T
        nested = torch.nested.nested_tensor([x[:2], x[2:]], layout=torch.jagged) * 2
        spectrum = torch.fft.fft(x).abs().mean()
        weight = self.net.first.weight.detach()
        slopes = torch.func.vmap(torch.func.grad(lambda row: F.mse_loss(weight @ row, torch.zeros(16))))(x)
        per_sample = torch.vmap(lambda row, label: F.cross_entropy(row[None], label[None]))(self(x), y)
        quantised = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8).dequantize()
        torch.empty(3, device="meta").exp()
        extra = sparse.mean() + nested.values().mean() + spectrum + slopes.mean() + quantised.mean()
        return per_sample.mean() + 0 * extra


@pytest.mark.filterwarnings("ignore")
def test_odd_tensors_in_a_step_do_not_turn_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = NNGuard(every_n_steps=1)
    off = notes_of(watch, monkeypatch)
    fit(Odd(), watch, validation=loader(24))
    assert off == []


# -- random numbers --------------------------------------------------------------------------------------------------------------


class Random(Dataset[tuple[Tensor, Tensor]]):
    """A data set that augments: each sample is drawn anew, in this process or in a worker."""

    def __init__(self) -> None:
        self.samples = blobs(48)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.samples[index]
        return x + 0.1 * torch.randn_like(x), y


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_random_numbers_of_loaders_are_not_those_of_evaluation(num_workers: int, records: list[Record]) -> None:
    train, validation = (DataLoader(Random(), batch_size=4, num_workers=num_workers, shuffle=shuffle) for shuffle in (True, False))
    watch = guard("NNG605")
    fit(Classifier(), watch, train=train, validation=validation, max_epochs=10)
    assert len(moments(records, "validate")) == 2
    assert not any(record.drew_random for record in records)
    assert watch.findings == []


class Sampling(Classifier):
    """Draws random numbers in its validation step.

    Args:
        how: By which means.
    """

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        if self.how == "call":
            x = x + 0.1 * torch.randn_like(x)
        elif self.how == "distribution":
            x = torch.distributions.Normal(x, 0.1).rsample()
        elif self.how == "generator":
            x = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        elif self.how == "dropout":
            x = F.dropout(x, 0.1)
        super().validation_step((x, y), batch_idx)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("call", "1 call: test_audit.py:{line}, `torch.randn_like(x)` in `Sampling`"),
        ("distribution", "`torch.distributions.Normal(x, 0.1).rsample()` in `Sampling`"),
        ("generator", None),
        ("dropout", None),
        ("none", None),
    ],
)
def test_random_numbers_of_evaluation_are_named(how: str, words: str | None) -> None:
    watch = guard("NNG605")
    fit(Sampling(how), watch, validation=loader(24), max_epochs=1)
    assert len(watch.findings) == (words is not None)
    if words is not None:
        line = Sampling.validation_step.__code__.co_firstlineno + 3
        assert words.format(line=line) in only(watch).message


@pytest.fixture(autouse=True)
def _no_mode_is_left() -> Iterator[None]:
    yield
    assert not _get_current_function_mode_stack()
