from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.gate import is_learning
from lightning_nnguard.monitor import Monitor
from lightning_nnguard.non_finite import finite
from lightning_nnguard.observation import DeadUnitsSeen, HistogramSeen, LossSeen, NonFiniteSeen, Seen, UpdateSeen
from lightning_nnguard.panels.chart import Chart, ImageChart, ScalarChart, TextChart
from lightning_nnguard.policy import Policy
from lightning_nnguard.rules import Rule
from lightning_nnguard.rules.updates.update_too_large import UpdateTooLarge
from lightning_nnguard.sinks.sink import RunSummary
from lightning_nnguard.warning import FindingWarning
from tests import builders
from tests.builders import activation, dead_units, gap, gradient, loss, update

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
NAN, INF = float("nan"), float("inf")
FLAT = loss(smoothed=2.3, smoothed_min=2.29)


@dataclass(frozen=True, kw_only=True)
class Fake(Rule[UpdateSeen]):
    """Fires on updates of at least the size of their weight; raises where it is told to."""

    code: ClassVar[str] = "NNG001"
    name: ClassVar[str] = "fake"
    severity: ClassVar[Severity] = WARNING
    why: ClassVar[str] = "why"
    fix: ClassVar[str] = "fix"

    def check(self, seen: UpdateSeen) -> Finding | None:
        if seen.where == "raise":
            raise ZeroDivisionError("on purpose")
        return self.finding(seen, "large", evidence={}) if seen.ratio >= 1 else None


class GatedFake(Fake):
    code = "NNG002"
    gated = True


class DeadFake(Fake):
    code = "NNG003"

    def check(self, seen: DeadUnitsSeen) -> Finding | None:  # type: ignore[override]
        return self.finding(seen, "dead", evidence={}) if seen.num_dead else None


class NonFiniteFake(Fake):
    code = "NNG004"

    def check(self, seen: NonFiniteSeen) -> Finding | None:  # type: ignore[override]
        return self.finding(seen, seen.quantity, evidence={}, severity=ERROR)


class Recorder:
    def __init__(self) -> None:
        self.announced: list[Finding] = []
        self.drawn: list[Chart] = []
        self.summaries: list[RunSummary] = []

    def announce(self, finding: Finding) -> None:
        self.announced.append(finding)

    def draw(self, charts: Sequence[Chart]) -> None:
        assert charts
        self.drawn += charts

    def finish(self, summary: RunSummary) -> None:
        self.summaries.append(summary)

    def num(self, kind: type[Chart]) -> int:
        return sum(isinstance(chart, kind) for chart in self.drawn)


class Broken(Recorder):
    def __init__(self, what: str, error: Exception | None = None) -> None:
        super().__init__()
        self.num_calls = 0
        self.error = error or OSError("disk full")
        setattr(self, what, self.fail)

    def fail(self, _: object) -> None:
        self.num_calls += 1
        raise self.error


def ratios(seen: Sequence[UpdateSeen]) -> list[Chart]:
    return [ScalarChart(tag=each.where, step=each.step, value=each.ratio) for each in seen]


def broken_panel(seen: Sequence[UpdateSeen]) -> list[Chart]:
    raise KeyError("panel")


def large(where: str = "layer.weight", **changes: Any) -> UpdateSeen:
    return update(where=where, ratio=2.0, **changes)


def summary(monitor: Monitor) -> RunSummary:
    return RunSummary(findings=monitor.findings, num_steps=9, num_sampled=3, num_rules=1, seconds=0.1, share=0.0, every_n_steps=50)


def test_a_real_rule_finds_its_fault() -> None:
    sink = Recorder()
    monitor = Monitor([UpdateTooLarge()], sinks=[sink])
    assert monitor.see([update(ratio_median=0.5, step=1000)]) == []
    (finding,) = monitor.see([update(ratio_median=0.5, step=1050)])
    assert (finding.code, finding.step, finding.last_seen) == ("NNG501", 1000, 1050)
    assert monitor.findings == sink.announced == [finding]


def test_healthy_observations_leave_all_rules_silent() -> None:
    monitor = Monitor(Policy().rules(), draw_health=True, sinks=[Recorder()])
    for _ in range(5):
        assert monitor.see(builders.healthy()) == []
    assert monitor.findings == []
    assert monitor.notes == []


def test_nothing_seen_is_nothing_said() -> None:
    assert Monitor([Fake()]).see([]) == []


def test_rules_see_exactly_the_kind_they_ask_for() -> None:
    monitor = Monitor([Fake(), DeadFake()])
    found = monitor.see([large("a"), dead_units(num_dead=3, where="b"), activation(where="c")])
    assert [(each.code, each.where) for each in found] == [("NNG001", "a"), ("NNG003", "b")]
    assert monitor.notes == []


@pytest.mark.parametrize(
    ("rules", "panels", "wanted"),
    [
        ([], [], set()),
        ([Fake()], [], {UpdateSeen}),
        ([GatedFake()], [], {UpdateSeen, LossSeen}),
        ([DeadFake()], [ratios], {UpdateSeen, DeadUnitsSeen}),
    ],
)
def test_only_what_is_asked_for_is_wanted(rules: Any, panels: Any, wanted: set[type[Seen]]) -> None:
    assert Monitor(rules, panels).wanted == wanted


def test_wanted_stays_when_parts_fail_because_ranks_must_agree() -> None:
    monitor = Monitor([Fake()], [broken_panel], [Broken("draw")])
    before = monitor.wanted
    monitor.see([update(where="raise")])
    assert len(monitor.notes) == 2
    assert monitor.wanted == before == {UpdateSeen}


# --- numbers that are none


@pytest.mark.parametrize(
    ("seen", "quantity"),
    [
        (activation(mean=NAN), "activation"),
        (builders.activation_profile(rms=(1.0, INF, 1.0)), "activation"),
        (gradient(norm=NAN), "gradient"),
        (builders.gradient_norm(norms=(1.0, NAN)), "gradient"),
        (builders.gradient_profile(rms=(-INF,)), "gradient"),
        (update(ratio=INF), "parameter"),
        (builders.update_profile(ratios=(NAN,)), "parameter"),
        (loss(smoothed=NAN), "loss"),
        (gap(train=(NAN,)), "statistic"),
        (
            HistogramSeen(
                step=1, epoch=0, quantity="gradient", upper_edges=(), counts=(), low=NAN, high=0.0, total=0.0, total_squares=0.0
            ),
            "gradient",
        ),
    ],
)
def test_what_holds_nan_is_replaced(seen: Seen, quantity: Any) -> None:
    seen = replace(seen, rank=3)
    assert finite([seen]) == [NonFiniteSeen(where=seen.where, step=seen.step, epoch=seen.epoch, rank=3, quantity=quantity)]


def test_what_holds_numbers_stays() -> None:
    assert finite(builders.healthy()) == builders.healthy()


def test_nan_meets_no_threshold_and_no_panel() -> None:
    sink = Recorder()
    monitor = Monitor([Fake(), NonFiniteFake()], [ratios], [sink])
    (finding,) = monitor.see([update(where="a", ratio=INF)])
    assert (finding.code, finding.where, finding.message) == ("NNG004", "a", "parameter")
    assert sink.drawn == []


def test_only_the_first_of_a_quantity_is_marked_as_first() -> None:
    bad = [activation(where="a", mean=NAN), activation(where="b", mean=NAN), gradient(norm=NAN)]
    assert [each.is_first for each in finite(bad)] == [True, False, True]  # type: ignore[attr-defined]


def test_the_probe_knows_better_what_was_first() -> None:
    named = builders.non_finite("activation", where="z")
    assert [each.is_first for each in finite([activation(mean=NAN), named])] == [False, True]  # type: ignore[attr-defined]
    masked = replace(named, masked=True)
    assert [each.is_first for each in finite([activation(mean=NAN), masked])] == [True, True]  # type: ignore[attr-defined]


# --- the gate


@pytest.mark.parametrize(
    ("seen", "learning"),
    [
        (loss(smoothed=2.0), True),
        (loss(smoothed=2.3 * 0.979), True),
        (loss(smoothed=2.3 * 0.981), False),
        (loss(smoothed=2.3, num_steps=19), True),
        (loss(smoothed=2.3, num_steps=20), False),
        (loss(smoothed=1.0, smoothed_min_step=0), True),
        (loss(smoothed=4.0, smoothed_recent=(5.0,) * 127 + (4.0,)), True),  # above chance, but falling
        (loss(chance=None, first=2.0, smoothed=1.95, smoothed_min=1.95), True),
        (loss(chance=None, first=2.0, smoothed=1.97, smoothed_min=1.95), False),
        (loss(chance=None, first=2.0, smoothed=1.5, smoothed_min=1.0), False),  # more than half is lost
        (loss(chance=None, first=2.0, smoothed=1.5, smoothed_min=1.0, is_objective=False), True),  # one loss of several
        (loss(chance=None, first=-1.0, smoothed=-1.01), True),  # no level to compare with
        (loss(chance=None, first=0.0, smoothed=0.0), True),
        (loss(chance=None, smoothed=0.5, step=12000, smoothed_min_step=700), True),  # converged
    ],
)
def test_is_learning(seen: LossSeen, learning: bool) -> None:
    assert is_learning(seen) is learning


def test_symptoms_are_information_while_the_run_learns() -> None:
    assert [each.severity for each in Monitor([GatedFake()]).see([large()])] == [INFO]
    assert [each.severity for each in Monitor([GatedFake()]).see([large(), loss()])] == [INFO]
    assert [each.severity for each in Monitor([GatedFake()]).see([large(), FLAT])] == [WARNING]
    assert [each.severity for each in Monitor([Fake()]).see([large(), loss()])] == [WARNING]


class SometimesGatedFake(GatedFake):
    code = "NNG005"

    def is_gated(self, seen: UpdateSeen) -> bool:
        return seen.ratio <= 2


@pytest.mark.parametrize(("ratio", "severity"), [(2.0, INFO), (2.1, WARNING)])
def test_a_rule_may_judge_whether_learning_excuses(ratio: float, severity: Severity) -> None:
    found = Monitor([SometimesGatedFake()]).see([update(ratio=ratio), loss()])
    assert [each.severity for each in found] == [severity]


def test_the_newest_loss_counts() -> None:
    monitor = Monitor([GatedFake()])
    monitor.see([FLAT])
    assert not monitor.is_learning
    assert [each.severity for each in monitor.see([large()])] == [WARNING]
    monitor.see([loss()])
    assert monitor.is_learning


def test_a_symptom_is_said_again_when_the_run_stops_learning() -> None:
    monitor = Monitor([GatedFake()])
    assert [each.severity for each in monitor.see([large()])] == [INFO]
    assert [each.severity for each in monitor.see([large(), FLAT])] == [WARNING]


def test_the_policy_decides_after_the_gate() -> None:
    gate_saw = []

    def severity_of(rule: Rule[Seen], finding: Finding) -> Severity:
        gate_saw.append(finding.severity)
        return ERROR

    monitor = Monitor([GatedFake()], severity_of=severity_of)
    assert [each.severity for each in monitor.see([large(), loss()])] == [ERROR]
    assert gate_saw == [INFO]


# --- panels and sinks


def test_panels_get_all_observations_of_their_kind_in_order() -> None:
    sink = Recorder()
    Monitor([], [ratios], [sink]).see([large("b"), activation(), large("a")])
    assert [chart.tag for chart in sink.drawn if isinstance(chart, ScalarChart)] == ["b", "a"]


def test_no_sink_no_charts() -> None:
    monitor = Monitor([Fake()], [broken_panel], draw_health=True)
    assert len(monitor.see([large()])) == 1
    assert monitor.notes == []


def test_findings_go_to_all_sinks_once() -> None:
    sinks = [Recorder(), Recorder()]
    monitor = Monitor([Fake()], sinks=sinks)
    (finding,) = monitor.see([large()])
    monitor.see([large()])
    assert [sink.announced for sink in sinks] == [[finding]] * 2


def test_the_end_goes_to_all_sinks() -> None:
    sinks = [Recorder(), Broken("finish"), Recorder()]
    monitor = Monitor([Fake()], sinks=sinks)
    end = summary(monitor)
    monitor.finish(end)
    assert [sink.summaries for sink in sinks] == [[end], [], [end]]
    assert monitor.notes == ["sink Broken is off: it raised OSError: disk full"]


# --- parts that raise


def test_a_rule_that_raises_is_off_and_the_others_go_on() -> None:
    monitor = Monitor([Fake(), GatedFake(), DeadFake()])
    found = monitor.see([update(where="raise"), large(), dead_units(num_dead=1)])
    assert [each.code for each in found] == ["NNG003"]
    assert monitor.notes == [
        "rule NNG001 fake is off: it raised ZeroDivisionError: on purpose",
        "rule NNG002 fake is off: it raised ZeroDivisionError: on purpose",
    ]
    assert monitor.see([large()]) == []
    assert len(monitor.notes) == 2


def test_of_equal_rules_only_the_one_that_raises_is_off() -> None:
    def severity_of(rule: Rule[Seen], finding: Finding) -> Severity:
        if rule is rules[0]:
            raise RuntimeError
        return finding.severity

    rules: list[Any] = [Fake(), Fake()]
    assert rules[0] == rules[1]
    monitor = Monitor(rules, severity_of=severity_of)
    assert len(monitor.see([large()])) == 1
    assert len(monitor.notes) == 1


def test_a_panel_that_raises_is_off_and_the_others_go_on() -> None:
    sink = Recorder()
    monitor = Monitor([], [broken_panel, ratios], [sink])
    monitor.see([large("a")])
    monitor.see([large("b")])
    assert [chart.tag for chart in sink.drawn if isinstance(chart, ScalarChart)] == ["a", "b"]
    assert monitor.notes == ["panel broken_panel is off: it raised KeyError: 'panel'"]


@pytest.mark.parametrize("what", ["announce", "draw"])
def test_a_sink_that_raises_is_off_and_the_others_go_on(what: str) -> None:
    broken, sink = Broken(what), Recorder()
    monitor = Monitor([Fake(), DeadFake()], [ratios], [broken, sink])
    for step in (1, 2):
        monitor.see([large(step=step), dead_units(num_dead=1)])
    monitor.finish(summary(monitor))
    assert broken.num_calls == 1
    assert broken.summaries == []
    assert (len(sink.announced), len(sink.drawn), len(sink.summaries)) == (2, 2, 1)
    assert monitor.notes == ["sink Broken is off: it raised OSError: disk full"]


def test_a_broken_health_map_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lightning_nnguard.health_log.extend", fail)
    monitor = Monitor([Fake()], [ratios], [sink := Recorder()], draw_health=True)
    assert len(monitor.see([large()])) == 1
    assert sink.num(ScalarChart) == 1
    assert monitor.notes == ["health map is off: it raised MemoryError: "]


def test_warnings_that_the_user_turned_into_errors_get_out() -> None:
    class Warner(Recorder):
        def announce(self, finding: Finding) -> None:
            warnings.warn(finding.headline, FindingWarning, stacklevel=2)

    monitor = Monitor([Fake()], sinks=[Warner()])
    with pytest.raises(FindingWarning, match="NNG001"):
        monitor.see([large()])
    assert monitor.notes == []


# --- the health of layers


@pytest.fixture
def rounds() -> Callable[..., Recorder]:
    def run(severities: Sequence[bool], *, end: bool = False) -> Recorder:
        sink = Recorder()
        monitor = Monitor([Fake()], sinks=[sink], draw_health=True)
        for step, is_large in enumerate(severities, start=1):
            monitor.see([update(ratio=2.0 if is_large else 0.1, step=step)])
        if end:
            monitor.finish(summary(monitor))
        return sink

    return run


def test_health_is_drawn_whenever_its_rounds_have_doubled(rounds: Callable[..., Recorder]) -> None:
    assert [rounds([False] * n).num(ImageChart) for n in (1, 2, 3, 4, 7, 8, 300)] == [1, 2, 2, 3, 3, 4, 9]
    assert rounds([False] * 300).num(TextChart) == 0


def test_health_and_text_are_drawn_when_there_is_news(rounds: Callable[..., Recorder]) -> None:
    before, after = rounds([False] * 10), rounds([False] * 10 + [True] * 5)
    assert (after.num(ImageChart) - before.num(ImageChart), after.num(TextChart)) == (1, 1)


def test_health_and_text_are_drawn_at_the_end(rounds: Callable[..., Recorder]) -> None:
    before, after = rounds([False] * 10), rounds([False] * 10, end=True)
    assert (after.num(ImageChart) - before.num(ImageChart), after.num(TextChart)) == (1, 1)
    assert {chart.tag for chart in after.drawn if isinstance(chart, ImageChart | TextChart)} == {
        "nnguard/health",
        "nnguard/findings",
    }
    assert [chart.step for chart in after.drawn if isinstance(chart, TextChart)] == [10]


def test_without_rounds_the_end_has_a_text_only(rounds: Callable[..., Recorder]) -> None:
    sink = rounds([], end=True)
    assert (sink.num(ImageChart), sink.num(TextChart)) == (0, 1)


def test_health_has_a_row_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[dict[str, int]] = []

    def extend(health: Any, step: int, severities: dict[str, int]) -> Any:
        taken.append(severities)
        return health

    monkeypatch.setattr("lightning_nnguard.health_log.extend", extend)
    monitor = Monitor([Fake(), DeadFake(), NonFiniteFake()], sinks=[Recorder()], draw_health=True)
    monitor.see(
        [
            update(where="net.0.weight"),
            large("net.1.weight"),
            update(where="net.1.bias"),
            update(where="scale"),
            dead_units(where="net.2", num_dead=0),
            dead_units(where="net.3", num_dead=1),
            activation(where="net.4"),  # no rule has judged it
            activation(where="net.5", mean=NAN),
            gradient(where="net.6.weight", norm=NAN),
            loss(smoothed=NAN),
        ]
    )
    monitor.see([gap()])
    assert taken == [{"net.0": 1, "net.1": 20, "scale": 1, "net.2": 1, "net.3": 20, "net.5": 30, "net.6": 30}]


def test_neither_torch_nor_lightning_is_imported() -> None:
    code = (
        "import sys, lightning_nnguard.monitor, lightning_nnguard.policy, lightning_nnguard.reporter\n"
        "print([name for name in ('torch', 'lightning', 'tensorboard') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
