from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.unregistered_parameter import UnregisteredParameter
from tests.builders import silent, speaks, unregistered_parameter

RULE = UnregisteredParameter()
IN_A_LIST = {
    "where": "net.layers[0].weight", "container": "net.layers", "num_members": 3, "num_parameters": 6, "is_optimized": False,
}  # fmt: skip
MADE = {"where": "net", "container": "", "num_members": 0, "is_new": True, "is_optimized": False}


def test_names_the_list_and_counts_what_is_in_it():
    words = "6 parameters (4160 values) in the plain container `net.layers`", "threshold 0", "net.py:12, `layer(x)`"
    finding = speaks(RULE, unregistered_parameter(**IN_A_LIST), *words, where="net.layers[0].weight")
    assert finding.evidence["num_parameters"] == 6


def test_names_a_layer_that_is_made_in_the_forward():
    speaks(RULE, unregistered_parameter(**MADE), "2 parameters (4160 values) of a Linear made in the forward shape the loss")


def test_a_single_parameter_in_a_list_is_not_hidden_on_purpose():
    alone = {**IN_A_LIST, "num_members": 1, "num_parameters": 1, "num_values": 4, "owner": ""}
    speaks(RULE, unregistered_parameter(**alone), "1 parameter (4 values)", "shapes the loss")


@pytest.mark.parametrize(
    "seen",
    [
        unregistered_parameter(),
        unregistered_parameter(**{**IN_A_LIST, "is_optimized": True}),
        unregistered_parameter(**{**IN_A_LIST, "is_training": False}),
        unregistered_parameter(**{**IN_A_LIST, "num_members": 1}),
        unregistered_parameter(**{**IN_A_LIST, "container": ""}),
        unregistered_parameter(**{**MADE, "is_new": False}),
        unregistered_parameter(**{**MADE, "manual": True}),
    ],
    ids=["healthy", "optimizer", "eval mode", "hidden", "elsewhere", "copied", "manual"],
)
def test_silent(seen):
    silent(RULE, seen)


PLAIN = {"where": "g.weight", "container": "", "num_members": 0, "num_parameters": 1, "num_values": 48, "owner": "",
         "is_optimized": False, "is_tensor": True, "num_unchanged": 3, "source": "net.py:12, `x @ self.weight`"}  # fmt: skip


def test_names_a_plain_tensor_that_a_gradient_flows_to():
    words = "1 plain tensor (48 values)", "used as a weight at net.py:12", "no optimizer holds it", "the same 3 sampled steps later"
    speaks(RULE, unregistered_parameter(**PLAIN), *words, where="g.weight", severity=Severity.WARNING)


def test_mentions_a_plain_tensor_that_is_constant():
    constant = unregistered_parameter(**PLAIN, requires_grad=False)
    speaks(RULE, constant, "no gradient flows to it", severity=Severity.INFO)


def test_silent_on_a_plain_tensor_that_an_optimizer_holds():
    silent(RULE, unregistered_parameter(**{**PLAIN, "is_optimized": True}))
