import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lightning_nnguard.sinks.json_lines import JsonLinesSink
from tests.panels.builders import FINDING
from tests.sinks.builders import SUMMARY, scalars


def strict(path: Path) -> list[dict[str, object]]:
    """Return the records; a word that is not JSON, such as NaN, fails."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_for_each_event_in_folders_that_it_makes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "findings.jsonl"
    sink = JsonLinesSink(path=path)
    recovered = replace(FINDING, recovered=1400)
    sink.announce(FINDING)
    sink.draw(scalars(49))
    sink.announce(recovered)
    sink.finish(replace(SUMMARY, findings=[recovered], notes=("a note",)))
    first, second, last = strict(path)
    assert first == {"event": "new", **FINDING.as_dict()}
    assert second == {"event": "recovered", **recovered.as_dict()}
    assert last == {
        "event": "summary",
        "num_steps": 1200,
        "num_sampled": 48,
        "num_rules": 25,
        "seconds": 3.5,
        "share": 0.008,
        "every_n_steps": 25,
        "notes": ["a note"],
        "findings": [recovered.as_dict()],
    }


def test_nothing_is_written_before_there_is_news(tmp_path: Path) -> None:
    JsonLinesSink(path=tmp_path / "a" / "findings.jsonl").draw(scalars(49))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_continued(tmp_path: Path) -> None:
    for _ in range(2):
        JsonLinesSink(path=tmp_path / "findings.jsonl").announce(FINDING)
    assert len(strict(tmp_path / "findings.jsonl")) == 2


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (np.float32("nan"), "nan"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        ("line\nbreak é", "line\nbreak é"),
    ],
)
def test_every_line_is_strict_json(tmp_path: Path, value: float, written: object) -> None:
    path = tmp_path / "findings.jsonl"
    JsonLinesSink(path=path).announce(replace(FINDING, evidence={"norm": value}))
    (record,) = strict(path)
    assert record["evidence"] == {"norm": written}


def test_unwritable_path_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        JsonLinesSink(path=tmp_path / "file" / "findings.jsonl").announce(FINDING)
