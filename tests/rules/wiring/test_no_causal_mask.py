from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.no_causal_mask import NoCausalMask
from tests.builders import next_token, silent, speaks

RULE = NoCausalMask()


def fault(**changes):
    return next_token(**{"open_fraction": 1.0, **changes})


def test_says_which_attention_and_which_loss():
    words = (
        "none of the 2 attention calls over the 32 tokens (the first at net.py:12, `self.encoder(h)`) hides later positions",
        "at least 100% of the positions look at the next one (threshold 90%)",
        "the target of cross_entropy at train.py:48, `F.cross_entropy(x, y)` in 100.0% of 900 positions (threshold 95%)",
    )
    finding = speaks(RULE, fault(), *words)
    assert finding.evidence["num_calls"] == 2


def test_says_one_call():
    speaks(RULE, fault(num_calls=1), "the attention call over the 32 tokens at net.py:12, `self.encoder(h)` does not hide")
    speaks(RULE, fault(source=None, loss_source=None), "(the first in `blocks.0.self_attn`)", "target of cross_entropy in 100.0%")


@pytest.mark.parametrize(
    "seen",
    [
        next_token(),
        fault(open_fraction=0.89),
        fault(shifted_fraction=0.94),
        fault(num_compared=63),
        fault(counted_fraction=0.49),
        fault(agreement=0.91),
        fault(rolled_fraction=0.91),
    ],
    ids=[
        "causal",
        "a prefix is open",
        "some tokens are not the target",
        "few positions",
        "an answer behind a prompt",
        "the token tells its target",
        "the task is to move the sequence",
    ],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundaries():
    speaks(RULE, fault(shifted_fraction=0.95, open_fraction=0.9, num_compared=64, counted_fraction=0.5, agreement=0.9))
    speaks(RULE, fault(rolled_fraction=0.9))
    silent(NoCausalMask(min_compared=901), fault())
