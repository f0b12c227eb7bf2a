from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, has_torch_function

from lightning_nnguard.probe import fastpath
from lightning_nnguard.probe.calls import CallWatch
from lightning_nnguard.probe.forward import ForwardWatch
from lightning_nnguard.probe.modules import first_tensor

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")


def padded() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[:, 4:] = True
    return nn.TransformerEncoder(layer, 2).eval(), torch.randn(4, 6, 16), mask


def recorded(model: nn.Module, x: Tensor, mask: Tensor, **watches: int) -> tuple[Tensor, list[str]]:
    """Return the output under function modes, and the functions that they see."""
    names: list[str] = []
    modes = [CallWatch({}, pytest.fail, lambda func, *_: names.append(func.__name__)) for _ in range(watches.get("num", 1))]
    for mode in modes:
        mode.switch(True)
    try:
        with torch.no_grad():
            return model(x, src_key_padding_mask=mask), names
    finally:
        for mode in modes:
            mode.switch(False)


@pytest.mark.pitfall(7)
@pytest.mark.parametrize("num", [1, 2])
def test_fused_layers_stay_on_their_fast_path_bit_by_bit(num: int) -> None:
    model, x, mask = padded()
    with torch.no_grad():
        expected = model(x, src_key_padding_mask=mask)
    output, names = recorded(model, x, mask, num=num)
    assert torch.equal(output, expected)
    assert "_transformer_encoder_layer_fwd" in names
    assert torch.overrides.has_torch_function is has_torch_function is fastpath._ORIGINAL


def test_without_it_the_padding_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "_overrides", fastpath._ORIGINAL)
    model, x, mask = padded()
    with torch.no_grad():
        expected = model(x, src_key_padding_mask=mask)
    output, _ = recorded(model, x, mask)
    assert float((output - expected).abs().amax()) > 0.1


def test_modes_and_tensors_of_the_user_still_override() -> None:
    class Own(Tensor):
        pass

    class Other(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    watch = CallWatch({}, pytest.fail)
    watch.switch(True)
    try:
        plain, own = torch.zeros(1), torch.zeros(1).as_subclass(Own)
        assert not torch.overrides.has_torch_function((plain, nn.Parameter(plain)))
        assert torch.overrides.has_torch_function((plain, own))
        with Other():
            assert torch.overrides.has_torch_function((plain,))
    finally:
        watch.switch(False)
    with Other():
        assert torch.overrides.has_torch_function((plain,))


@pytest.mark.pitfall(7)
@pytest.mark.parametrize(
    ("change", "has_hooks"),
    [(nn.Module.train, True), (nn.Module.eval, False), (lambda model: model.requires_grad_(False), False)],
    ids=["training", "eval mode", "frozen"],
)
def test_layers_that_may_take_their_fast_path_get_no_hooks(change: Callable[[nn.Module], object], has_hooks: bool) -> None:
    model = nn.ModuleList([nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)])
    change(model)
    watch = ForwardWatch(model, activations=object(), listeners={}, on_error=pytest.fail)  # type: ignore[arg-type]
    watch.look()
    watch.attach()
    has_any = any(each._forward_hooks for each in model.modules())
    watch.detach()
    assert has_any is has_hooks
    assert not any(each._forward_hooks for each in model.modules())


def test_the_output_of_a_module_may_be_a_nested_tensor() -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    plain = torch.ones(4)
    assert first_tensor(nested) is None
    assert torch.equal(first_tensor((nested, plain)), plain)  # type: ignore[arg-type]
