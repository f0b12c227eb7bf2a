"""The README's table of drop-ins is what the code says."""

import re
from pathlib import Path

import pytest

import lightning_nnguard
from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.rules import all_rules

ROW = re.compile(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", re.MULTILINE)
TABLE = dict(ROW.findall((Path(__file__).parents[1] / "README.md").read_text("utf-8")))


def codes_of(callback: str) -> set[str]:
    guard = getattr(lightning_nnguard, callback)()
    assert isinstance(guard, Guard)
    return {rule.code for rule in guard._options.policy.rules()}


def test_every_drop_in_is_there() -> None:
    exported = [getattr(lightning_nnguard, name) for name in lightning_nnguard.__all__]
    assert {each.__name__ for each in exported if isinstance(each, type) and issubclass(each, Guard)} == TABLE.keys()


@pytest.mark.parametrize("callback", [name for name in TABLE if name != "NNGuard"])
def test_rules_of_a_drop_in(callback: str) -> None:
    assert set(re.findall(r"NNG\d{3}", TABLE[callback])) == codes_of(callback)


def test_rules_of_the_whole() -> None:
    assert codes_of("NNGuard") == {rule.code for rule in all_rules()}
    assert TABLE["NNGuard"].startswith(f"all {len(all_rules())} of ")
