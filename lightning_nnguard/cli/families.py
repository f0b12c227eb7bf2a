"""The families of rules in a source tree, and the codes they have given out."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

FIRST_DIGIT = re.compile(r"^(?P<title>.*): NNG(?P<digit>\d)xx\.$")
CODE = re.compile(r'^    code: ClassVar\[str\] = "NNG(\d{3})"$', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A folder of rules that share the first digit of their codes.

    Attributes:
        folder: The folder.
        title: What its rules are about.
        digit: First digit of its codes.
    """

    folder: Path
    title: str
    digit: int

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    def next_code(self) -> str:
        """Return the code after the family's last one; codes are permanent, so gaps are not filled.

        Raises:
            ValueError: If the family has no code left.
        """
        taken = [int(code) for path in self.folder.glob("*.py") for code in CODE.findall(path.read_text("utf-8"))]
        code = max(taken, default=100 * self.digit) + 1
        if code >= 100 * (self.digit + 1):
            raise ValueError(f"family {self.name!r} has no code left after NNG{code - 1}")
        return f"NNG{code}"


def families(rules: Path) -> dict[str, Family]:
    """Return the families below the folder of all rules, by name, in the order of their codes.

    A family is a folder whose `__init__.py` says what it is about and which codes it has, such as "Gradients: NNG4xx."
    """
    found = []
    for path in sorted(rules.glob("*/__init__.py")):
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        if match := FIRST_DIGIT.match(doc.partition("\n")[0]):
            found.append(Family(folder=path.parent, title=match["title"], digit=int(match["digit"])))
    return {each.name: each for each in sorted(found, key=lambda each: each.digit)}
