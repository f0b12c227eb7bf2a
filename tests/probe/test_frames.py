"""Who called a torch function, and the text of the expression that did."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.probe.audit.tape import Tape
from lightning_nnguard.probe.calls import CallWatch
from lightning_nnguard.probe.frames import Caller, expression

X = torch.ones(2, 3)


def callers(run: Callable[[], Any], model: nn.Module | None = None) -> list[Caller]:
    """Return who made the calls of a function; those of layers have the line that calls the layer."""
    tape = Tape(model or nn.Module(), (), {})
    watch = CallWatch({}, lambda error: pytest.fail(repr(error)), tape.record)
    watch.switch(True)
    try:
        run()
    finally:
        watch.switch(False)
    return [each.who for each in tape.calls]


def last(run: Callable[[], Any]) -> str:
    return expression(callers(run)[-1])


def test_the_expression_is_the_innermost_one_that_made_the_call() -> None:
    def run() -> Tensor:
        return F.softmax(torch.exp(X), dim=1).sum()

    assert [expression(each) for each in callers(run)] == [
        "torch.exp(X)",
        "F.softmax(torch.exp(X), dim=1)",
        "F.softmax(torch.exp(X), dim=1).sum()",
    ]


def test_operators_have_their_operands() -> None:
    assert last(lambda: X * 2 + (X @ X.T).sum()) == "X * 2 + (X @ X.T).sum()"
    assert last(lambda: -X) == "-X"


def test_an_expression_over_several_lines_is_told_in_one() -> None:
    def run() -> Tensor:
        return F.cross_entropy(
            X,
            torch.zeros(
                2,
                dtype=torch.long,
            ),
        )

    assert last(run) == "F.cross_entropy( X, torch.zeros( 2, dtype=torch.long, ), )"


def test_characters_of_several_bytes_before_it_shift_nothing() -> None:
    äöü, prefix = X, "größe "

    def run() -> tuple[str, Tensor]:
        return prefix + "漢字", torch.exp(äöü)

    assert last(run) == "torch.exp(äöü)"


def test_a_long_expression_is_cut() -> None:
    def run() -> Tensor:
        return torch.stack([X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X])

    assert last(run) == "torch.stack([X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X..."


def test_code_without_a_file_has_no_text() -> None:
    scope: dict[str, Any] = {"torch": torch, "X": X}
    exec("def run(): return torch.exp(X)", scope)
    (who,) = callers(scope["run"])
    assert who.source == "<string>:1"
    assert expression(who) == ""


def test_a_file_that_has_changed_does_not_raise(tmp_path: Path) -> None:
    file = tmp_path / "step.py"
    file.write_text("\n\ndef run(): return torch.exp(X)\n")
    scope: dict[str, Any] = {"torch": torch, "X": X}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    file.write_text("\n")
    linecache.checkcache()
    (who,) = callers(scope["run"])
    assert (who.source, expression(who)) == ("step.py:3", "")


def test_nobody_has_no_text() -> None:
    assert expression(Caller(path="", module_id=0, is_library=True, source=None, functions=())) == ""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.helper(self.layer(x))

    @staticmethod
    def helper(x: Tensor) -> Tensor:
        return x.relu()


def test_a_layer_of_the_library_is_named_by_the_line_that_calls_it() -> None:
    net = Net()
    linear, relu = callers(lambda: net(X), net)
    assert (linear.path, linear.is_library, expression(linear)) == ("layer", True, "self.layer(x)")
    assert (relu.path, relu.is_library, expression(relu)) == ("Net", False, "x.relu()")
    assert linear.source is not None
    assert linear.source.startswith("test_frames.py:")
