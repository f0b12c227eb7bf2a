import pytest

from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.gap import GapHistory, Pair, guess_mode, pair_names

AT = At(step=10, epoch=1, batch_index=0)


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["train_loss", "val_loss"], [("loss", "train_loss", "val_loss")]),
        (["train/acc", "val/acc"], [("acc", "train/acc", "val/acc")]),
        (["train_acc_epoch", "train_acc_step", "val_acc"], [("acc", "train_acc_epoch", "val_acc")]),
        (["loss", "val_loss"], [("loss", "loss", "val_loss")]),
        (["training.f1", "validation.f1"], [("f1", "training.f1", "validation.f1")]),
        (["acc/train", "acc/valid"], [("acc", "acc/train", "acc/valid")]),
        (["train_loss"], []),
        (["val_loss"], []),
        (["lr", "val_loss", "train_acc"], []),
        (["train", "val"], []),
        ([], []),
    ],
)
def test_pairs_by_name(names: list[str], pairs: list[tuple[str, str, str]]):
    assert pair_names(names) == [Pair(name=name, train=train, validation=validation) for name, train, validation in pairs]


@pytest.mark.parametrize(
    ("name", "mode"),
    [("loss", "min"), ("mse", "min"), ("word_perplexity", "min"), ("acc", "max"), ("accuracy", "max"), ("macro_f1", "max"),
     ("auroc", "max"), ("fid", "min"), ("cross_entropy", "min"), ("temperature", None), ("lr", None)],
)  # fmt: skip
def test_modes_by_name(name: str, mode: str | None):
    assert guess_mode(name) == mode


def test_missing_metrics_are_noted_once():
    history = GapHistory({"loss": ("fit", "holdout")}, None)
    found, notes = history.pairs({"fit": 1.0})
    assert found == []
    assert len(notes) == 1
    assert "pairs['loss']: metric 'holdout' was not logged" in notes[0]
    assert history.pairs({"fit": 0.5}) == ([], [])


def test_no_pair_is_noted_once_with_the_names():
    history = GapHistory(None, None)
    _, notes = history.pairs({"abc": 1.0, "val_loss": 2.0})
    assert "abc, val_loss" in notes[0]
    assert history.pairs({"abc": 1.0}) == ([], [])


def test_modes_may_be_given():
    history = GapHistory({"temperature": ("a", "b")}, {"temperature": "max"})
    (pair,), _ = history.pairs({"a": 1.0, "b": 2.0})
    history.add(pair, 1.0, 2.0, fair=False)
    (seen,) = history.seen(AT, chance=None, rough_chance=None, regularised=False, final=False)
    assert (seen.mode, seen.train, seen.validation) == ("max", (1.0,), (2.0,))


def test_only_the_loss_has_the_chance_level():
    history = GapHistory(None, None)
    pairs, _ = history.pairs({"train_loss": 1.0, "val_loss": 1.0, "train_acc": 0.5, "val_acc": 0.5})
    for pair in pairs:
        history.add(pair, 1.0, 1.0, fair=False)
    seen = history.seen(AT, chance=None, rough_chance=2.3, regularised=False, final=True)
    assert {each.where: (each.chance, each.rough_chance) for each in seen} == {"loss": (None, 2.3), "acc": (None, None)}
