"""What to judge and how strictly: select, ignore with reasons, severities, thresholds, cadence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, Field, Strict, ValidationError, field_validator, model_validator

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import Seen
from lightning_nnguard.rule_names import did_you_mean, rules_called
from lightning_nnguard.rules import Rule, all_rules

ValueT = TypeVar("ValueT")


class Policy(BaseModel, frozen=True, extra="forbid"):
    """What a team wants from its runs. Immutable; every mistake is told when it is made.

    Rules are called by code ("NNG301"), prefix ("NNG3"), name ("dead-units") or family ("activations") alike. Where two entries
    of `severity` or `thresholds` mean the same rule, the one that means fewer rules wins, then the later one.

    Attributes:
        select: Rules to judge by.
        ignore: Rules not to judge by -> reason. A list of names is accepted, too; their reason is "".
        severity: Rules -> severity of their findings, whatever the rule or the gate says.
        thresholds: Rules -> threshold -> value.
        fail_on: Severity from which a finding ends the run; None lets every run go on.
        every_n_steps: One step out of so many is sampled.
        budget: Largest share of the run's wall-clock time that the guard may take, 0 to 1; None for no limit.
    """

    select: tuple[str, ...] = Field(("NNG",), description="Rules to judge by.")
    ignore: dict[str, str] = Field({}, description="Rules not to judge by, and why not.")
    severity: dict[str, Severity] = Field({}, description="Severity of the findings of rules.")
    thresholds: dict[str, dict[str, Annotated[float, Strict()]]] = Field({}, description="Thresholds of rules.")
    fail_on: Severity | None = Field(None, description="Severity from which a finding ends the run.")
    every_n_steps: Annotated[int, Strict()] = Field(50, ge=1, description="One step out of so many is sampled.")
    budget: Annotated[float, Strict()] | None = Field(None, gt=0, lt=1, description="Largest share of time for the guard.")

    @classmethod
    def build(cls, **arguments: object) -> Self:
        """Return the policy with these arguments.

        Raises:
            ValueError: If an argument, a rule's name or a value is not valid. The text names the argument, the value and what
                is valid.
        """
        try:
            return cls.model_validate(arguments)
        except ValidationError as error:
            raise ValueError("\n".join(_lines(error, cls))) from None

    @field_validator("select", mode="before")
    @classmethod
    def _accept_one_name(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("ignore", mode="before")
    @classmethod
    def _accept_names_without_reason(cls, value: object) -> object:
        names = (value,) if isinstance(value, str) else value
        return dict.fromkeys(names, "") if isinstance(names, Collection) and not isinstance(names, Mapping) else names

    @field_validator("severity", mode="before")
    @classmethod
    def _parse_severities(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: Severity.parse(each, argument=f"severity[{name!r}]") for name, each in value.items()}

    @field_validator("fail_on", mode="before")
    @classmethod
    def _parse_fail_on(cls, value: str | int | None) -> Severity | None:
        return None if value is None else Severity.parse(value, argument="fail_on")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for argument, names in (("select", self.select), ("ignore", self.ignore), ("severity", self.severity)):
            for name in names:
                rules_called(name, argument=argument)
        for name, values in self.thresholds.items():
            rules = sorted(rules_called(name, argument="thresholds"), key=lambda rule: rule.code)
            valid = {each.name: f"{each.name} ({each.meaning})" for rule in rules for each in rule().thresholds()}
            for threshold in values:
                if threshold not in valid:
                    proposal = did_you_mean(threshold, valid) + ", ".join(valid.values()) if valid else "it has no thresholds"
                    raise ValueError(f"thresholds[{name!r}] contains {threshold!r}; {proposal}")
        for each in all_rules():
            self._instance(each)
        return self

    def rules(self) -> tuple[Rule[Seen], ...]:
        """Return the selected rules that are not ignored, with their thresholds, by code."""
        ignored = {rule for name in self.ignore for rule in rules_called(name, argument="ignore")}
        selected = {rule for name in self.select for rule in rules_called(name, argument="select")} - ignored
        return tuple(self._instance(rule) for rule in sorted(selected, key=lambda rule: rule.code))

    def severity_of(self, rule: Rule[Seen], finding: Finding) -> Severity:
        """Return the severity of a rule's finding: the policy's, or else the finding's own."""
        severity = finding.severity
        for override in _meaning(type(rule), self.severity, "severity"):
            severity = override
        return severity

    def _instance(self, rule: type[Rule[Seen]]) -> Rule[Seen]:
        names = {each.name for each in rule().thresholds()}
        values: dict[str, float] = {}
        for overrides in _meaning(rule, self.thresholds, "thresholds"):
            values |= {name: value for name, value in overrides.items() if name in names}
        return rule(**values)


def _meaning(rule: type[Rule[Seen]], table: Mapping[str, ValueT], argument: str) -> Iterator[ValueT]:
    """Iterate over a table's entries that mean a rule, those that mean fewer rules later."""
    sized = [(rules_called(name, argument=argument), value) for name, value in table.items()]
    return (value for rules, value in sorted(sized, key=lambda pair: -len(pair[0])) if rule in rules)


def _lines(error: ValidationError, policy: type[Policy]) -> Iterator[str]:
    for each in error.errors(include_url=False):
        argument = str(each["loc"][0]) if each["loc"] else ""
        path = argument + "".join(f"[{part!r}]" for part in each["loc"][1:])
        if each["type"] == "value_error":
            yield str(each["ctx"]["error"])
        elif each["type"] == "extra_forbidden":
            fields = policy.model_fields
            yield f"{argument!r} is no argument of a policy; {did_you_mean(argument, fields)}{', '.join(fields)}"
        else:
            yield f"{path} is {each['input']!r}; {each['msg'].replace('Input', 'it', 1)}"
