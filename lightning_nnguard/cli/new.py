"""`nnguard new`: write the start of a rule and its twin test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Annotated

import typer

from lightning_nnguard.cli.errors import fail
from lightning_nnguard.cli.families import Family, families
from lightning_nnguard.cli.measures import USUAL, first_measure, measures, observations
from lightning_nnguard.cli.templates import RULE, TEST, start

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_NAME_LENGTH = 40
RESERVED = {"rule", "finding", "severity"}  # their class would hide one that each rule imports


def new(
    family: Annotated[str, typer.Argument(help="Family, such as 'updates'.")],
    name: Annotated[str, typer.Argument(help="The fault's name, such as 'update-too-large'.")],
    root: Annotated[Path, typer.Option(help="Folder that holds lightning_nnguard/rules.")] = Path(),
    sees: Annotated[str | None, typer.Option(help="Observation to judge; default: the family's usual one.")] = None,
    measure: Annotated[str | None, typer.Option(help="Number of the observation to compare with a threshold.")] = None,
) -> None:
    """Write a rule and its test, both runnable as they stand, under the next free code of the family."""
    rules = root / "lightning_nnguard" / "rules"
    chosen = _family(rules, family)
    module = _module(rules, name)
    sees, measure = _measure(family, sees, measure)
    try:
        code = chosen.next_code()
    except ValueError as error:
        fail(str(error))

    path = chosen.folder / f"{module}.py"
    test = root / "tests" / "rules" / family / f"test_{module}.py"
    if test.exists():
        fail(f"{test} exists already")
    text = {"family": family, "name": name, "module": module, "code": code, **start(name, sees, measure)}
    _write(path, RULE.substitute(text))
    if not (test.parent / "__init__.py").exists():
        _write(test.parent / "__init__.py", "")
    _write(test, TEST.substitute(text))
    typer.echo(f"next: replace each TODO of {code}, state its fault and its healthy twin in the test, then run `make docs test`")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {path}")


def _family(rules: Path, family: str) -> Family:
    if not rules.is_dir():
        fail(f"{rules} is no folder; --root must hold lightning_nnguard/rules")
    known = families(rules)
    if family not in known:
        fail(f"unknown family {family!r}; families are {', '.join(known)}")
    return known[family]


def _module(rules: Path, name: str) -> str:
    module = name.replace("-", "_")
    if not NAME.fullmatch(name) or keyword.iskeyword(module) or name in RESERVED or name.endswith("-seen"):
        fail(f"bad name {name!r}; a name is the fault in lower-case words with dashes, such as 'update-too-large'")
    if len(name) > MAX_NAME_LENGTH:
        fail(f"bad name {name!r}; it has {len(name)} characters, and may have {MAX_NAME_LENGTH}")
    for path in rules.glob(f"*/{module}.py"):
        fail(f"there is a rule {name!r} already: {path}")
    return module


def _measure(family: str, sees: str | None, measure: str | None) -> tuple[str, str]:
    known = observations()
    sees = sees or USUAL.get(family, "LossSeen")
    if sees not in known:
        fail(f"unknown observation --sees {sees!r}; observations are {', '.join(known)}")
    found = measures(known[sees])
    measure = measure or first_measure(known[sees])
    if measure not in found:
        fail(f"unknown number --measure {measure!r} of {sees}; it has {', '.join(found)}")
    return sees, measure
