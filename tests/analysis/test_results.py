"""Means, spreads and changes against numbers worked out by hand."""

from __future__ import annotations

import csv

import pytest

from fine2coarse.analysis import results
from fine2coarse.analysis.results import Row


def row(
    arm: str, seed: int, wrong: int, classes: int = 4, hard: int | None = None, **more: object
) -> Row:
    return Row(
        arm=arm,
        num_classes=classes,
        seed=seed,
        num_wrong=wrong,
        num_images=100,
        easy_wrong=None if hard is None else wrong - hard,
        easy_images=None if hard is None else 50,
        hard_wrong=hard,
        hard_images=None if hard is None else 50,
        images_seen=1000,
        pretrain_seconds=1.0,
        transfer_seconds=2.0,
        **more,
    )


ROWS = [
    row("baseline", 0, 40),
    row("baseline", 1, 44),
    row("fine", 0, 20, 32),
    row("fine", 1, 22, 32),
    row("random", 0, 41, 32),
]


def test_mean_deviation_and_paired_change():
    baseline, fine, random = results.summarise(ROWS)
    assert (baseline.arm, baseline.relative_change) == ("baseline", None)
    assert baseline.mean == pytest.approx(0.42)
    assert baseline.deviation == pytest.approx(0.02 * 2**0.5)
    assert fine.relative_change == pytest.approx(0.21 / 0.42 - 1)
    assert random.relative_change == pytest.approx(41 / 40 - 1)  # seed 0 alone is shared


def test_hard_and_easy_errors_are_counted_apart():
    rows = [row("baseline", 0, 30, hard=20)]
    assert results.summarise(rows, "hard")[0].mean == pytest.approx(0.4)
    assert results.summarise(rows, "easy")[0].mean == pytest.approx(0.2)
    assert results.summarise(ROWS, "hard") == []


def test_csv_holds_counts(tmp_path):
    results.write_csv(tmp_path / "r.csv", ROWS)
    read = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert len(read) == 5
    assert (read[2]["arm"], read[2]["num_wrong"], read[2]["num_images"]) == ("fine", "20", "100")
    assert read[2]["hard_wrong"] == ""


def test_table_shows_percentages():
    columns, cells = results.table(ROWS)
    assert columns[:4] == ["arm", "classes", "seeds", "top-1 error %"]
    assert cells[1] == ["fine", "32", "2", "21.00 ± 1.41", "-50.0 %"]
    assert cells[2] == ["random", "32", "1", "41.00", "+2.5 %"], "one seed has no deviation"


def test_direct_errors_are_compared_with_the_baseline_and_shown():
    rows = [
        row("baseline", 0, 40, transfer="straight"),
        row("fine", 0, 20, 32, direct_wrong=10, direct_argmax_wrong=12, transfer="summed"),
    ]
    (found,) = results.summarise(rows, "direct")
    assert (found.arm, found.mean, found.relative_change) == ("fine", 0.1, -0.75)
    assert rows[0].error("direct") is None and rows[1].error("direct_argmax") == 0.12
    columns, cells = results.table(rows)
    assert columns[5:] == ["direct error %", "direct, argmax %", "transfer"]
    assert [line[5:] for line in cells] == [["", "", "straight"], ["10.00", "12.00", "summed"]]


def test_transfers_that_were_chosen_are_counted():
    rows = [row("fine", seed, 1, transfer=name) for seed, name in enumerate("aba")]
    assert results.chosen_transfers([*rows, row("old", 0, 1)]) == {"fine": "a ×2, b", "old": ""}
