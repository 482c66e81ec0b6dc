"""Experiments run, are kept, and are read back; trials refuse what cannot be."""

import dataclasses
import json

import pytest

from fine2coarse.theory import trial_rows
from fine2coarse.theory.data import MultiViewData
from fine2coarse.theory.experiments import SMOKE, Experiment, Scale, all_experiments
from fine2coarse.theory.pictures import Line, points
from fine2coarse.theory.training import TrainingSettings
from fine2coarse.theory.trial_rows import (
    compute_or_read,
    read_trial_rows,
    run_experiment,
    write_trial_rows,
)
from fine2coarse.theory.trials import Trial, run_trial

_TINY = {
    "data": MultiViewData(num_subclasses=2, num_dimensions=20),
    "recipe": TrainingSettings(num_steps=10),
    "num_test_images": 50,
    "neurons_per_leaf": 8,
}


def _experiment(**changes):
    trials = tuple(
        Trial(curve, 1.5, num_groups=groups, snapshots=(0, 5), **_TINY | changes)
        for curve, groups in (("coarse", 1), ("fine", None))
    )
    return Experiment("tiny", "?", trials, ())


def test_rows_have_every_seed_and_every_moment():
    rows = run_experiment(_experiment(), 5)
    assert len(rows) == 2 * 5 * 3
    for curve in ("coarse", "fine"):
        moments = {(row["seed"], row["step"]) for row in rows if row["curve"] == curve}
        assert moments == {(seed, step) for seed in range(5) for step in (0, 5, 10)}


def test_the_same_seed_gives_the_same_numbers_whatever_runs_beside_it():
    experiment = _experiment()
    rows = run_experiment(experiment, 6)
    assert rows == run_experiment(experiment, 6)
    assert rows == run_experiment(experiment, 6, num_workers=2)
    for seed in range(6):
        alone = run_trial(experiment.trials[1], (seed,))
        assert alone == [r for r in rows if r["curve"] == "fine" and r["seed"] == seed]
    assert len({row["train_loss"] for row in rows if row["step"] == 10}) == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"probe_ridges": (0.1,)},
        {"label_noise": 0.5},
        {"num_images": 16},
        {"num_images": 16, "label_per_image": True},
        {"mixes_superclasses": True, "num_groups": 2, "probe_ridges": (0.1,)},
        {"test_variants": ((0.0, 0.0), (0.4, 0.5))},
        {"coarse_steps": 5, "snapshots": ()},
        {"stop_losses": (1.385, 1.38), "recipe": TrainingSettings(num_steps=500)},
    ],
)
def test_every_kind_of_trial_yields_its_rows(changes):
    trial = Trial("a", 1.0, **_TINY | changes)
    rows = run_trial(trial, (0, 1))
    assert len(rows) == 2 * trial.num_rows_per_seed
    for row in rows:
        errors = [value for name, value in row.items() if "_error_" in name]
        assert errors
        assert all(0 <= error <= 1 for error in errors)


def test_hard_image_variants_leave_easy_images_alone():
    rows = run_trial(Trial("a", 1.0, **_TINY | {"test_variants": ((0.0, 0.0), (0.4, 0.5))}), (0,))
    assert rows[0]["easy_error_max"] == rows[1]["easy_error_max"]
    assert (rows[1]["wrong_strength"], rows[1]["outlier_noise_std"]) == (0.4, 0.5)


def test_each_seed_stops_at_its_own_step():
    trial = Trial(
        "fine",
        0.0,
        **_TINY | {"stop_losses": (1.0, 0.5), "recipe": TrainingSettings(num_steps=500)},
    )
    rows = run_trial(trial, (0, 1, 2, 3))
    for seed in range(4):
        first, second = (row for row in rows if row["seed"] == seed)
        assert (first["value"], second["value"]) == (1.0, 0.5)
        assert first["step"] < second["step"]
        assert second["train_loss"] <= 0.5
    alone = run_trial(trial, (2,))
    assert alone == [row for row in rows if row["seed"] == 2]


def test_an_unreachable_loss_is_told():
    trial = Trial("fine", 0.0, **_TINY | {"stop_losses": (1e-9,)})
    with pytest.raises(ValueError, match="did not reach a loss of 1e-09 within 10 steps: raise"):
        run_trial(trial, (0,))


def test_trials_are_checked():
    with pytest.raises(ValueError, match="label_per_image needs num_images"):
        Trial("a", 0, label_per_image=True)
    with pytest.raises(ValueError, match="512 neurons cannot be shared equally among 6 outputs"):
        Trial("a", 0, num_groups=3)
    with pytest.raises(ValueError, match=r"512 neurons cannot be shared .* among 1024 outputs"):
        Trial("a", 0, label_per_image=True, num_images=1024)
    with pytest.raises(ValueError, match="num_test_images is 0"):
        Trial("a", 0, num_test_images=0)
    with pytest.raises(ValueError, match="num_seeds is 0"):
        Scale(num_seeds=0)
    with pytest.raises(ValueError, match="num_workers is 0"):
        run_experiment(_experiment(), 1, num_workers=0)


def test_csv_round_trip(tmp_path):
    rows = run_experiment(_experiment(), 2)
    write_trial_rows(tmp_path / "a.csv", rows)
    assert read_trial_rows(tmp_path / "a.csv") == rows


def test_finished_experiments_are_read_back(tmp_path, monkeypatch):
    said = []
    rows = compute_or_read(_experiment(), 3, tmp_path, say=said.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.csv", "tiny.json"]
    monkeypatch.setattr(trial_rows, "run_experiment", None)  # would fail if it were called
    assert compute_or_read(_experiment(), 3, tmp_path, say=said.append) == rows
    assert "read 18 rows" in said[1]


def test_an_interrupted_experiment_leaves_nothing_behind(tmp_path):
    def interrupted(trial, seeds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_or_read(dataclasses.replace(_experiment(), run=interrupted), 1, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_settings_are_not_read_back(tmp_path):
    compute_or_read(_experiment(), 2, tmp_path, say=str)
    with pytest.raises(ValueError, match=r"num_seeds 2, .* asks for num_seeds 3: .*--workdir"):
        compute_or_read(_experiment(), 3, tmp_path)
    with pytest.raises(ValueError, match=r"delete tiny\.json to compute tiny again"):
        compute_or_read(_experiment(label_noise=0.1), 2, tmp_path)


def test_a_shortened_table_is_noticed(tmp_path):
    compute_or_read(_experiment(), 2, tmp_path, say=str)
    table = tmp_path / "tiny.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=r"has 11 rows, tiny\.json says 12"):
        compute_or_read(_experiment(), 2, tmp_path)
    assert json.loads((tmp_path / "tiny.json").read_text())["num_seeds"] == 2


def test_missing_rows_are_noticed():
    with pytest.raises(RuntimeError, match="tiny yielded 0 rows: expected 12"):
        run_experiment(dataclasses.replace(_experiment(), run=_nothing), 2)


def _nothing(trial, seeds):
    return []


def test_points_average_over_seeds():
    rows = [
        {"curve": "a", "value": 2, "x": 1.0, "other": 0},
        {"curve": "a", "value": 2, "x": 3.0, "other": 0},
        {"curve": "a", "value": 1, "x": 7.0, "other": 0},
        {"curve": "a", "value": 1, "x": 9.0, "other": 5},
        {"curve": "b", "value": 1, "x": 9.0, "other": 0},
    ]
    found = points(rows, Line("A", "a", "x", (("other", 0),)), "value")
    assert [(value, spread.mean) for value, spread in found] == [(1, 7.0), (2, 2.0)]
    with pytest.raises(ValueError, match="no row belongs to"):
        points(rows, Line("A", "c", "x"), "value")


@pytest.mark.parametrize("scale", [Scale(), SMOKE])
def test_defaults_are_those_of_the_statement(scale):
    experiments = all_experiments(scale)
    coarse, fine = experiments["default"].trials
    assert (coarse.num_neurons, fine.num_neurons) == (512, 512)
    assert (coarse.num_outputs, fine.num_outputs) == (2, 16)
    recipe = coarse.recipe
    assert (recipe.learning_rate, recipe.batch_size, recipe.num_steps) == (0.02, 32, 200)
    assert (recipe.init_std, recipe.bias_threshold, recipe.bias_polylog) == (1e-3, 1, 5)
    for trial in experiments["mechanism"].trials:
        assert trial.num_neurons // trial.num_outputs == 128
    for name, experiment in experiments.items():
        assert name == experiment.name
        # Equal neurons for coarse and fine, wherever they are compared.
        by_value = {}
        for trial in experiment.trials:
            by_value.setdefault(trial.value, set()).add(trial.num_neurons)
        assert all(len(numbers) == 1 for numbers in by_value.values())
