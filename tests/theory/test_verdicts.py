"""Claims hold or fail with the numbers, and every experiment has some that can do both."""

import pytest

from fine2coarse.theory.experiments import SMOKE, all_experiments
from fine2coarse.theory.statements import at_least, at_most, exceeds, near_one, select, wins
from fine2coarse.theory.verdicts import verdicts_on


def _rows(*values):
    return [{"value": 1, "seed": seed, "x": value} for seed, value in enumerate(values)]


def test_bounds_look_at_every_run():
    assert at_most("s", _rows(0.1, 0.2), "x", 0.2).holds
    assert not at_most("s", _rows(0.1, 0.3), "x", 0.2).holds
    assert at_least("s", _rows(0.5, 0.9), "x", 0.5).holds
    assert not at_least("s", _rows(0.4, 0.9), "x", 0.5).holds
    assert near_one("s", _rows(0.95, 1.05), "x", 0.0501).holds
    assert not near_one("s", _rows(0.9, 1.0), "x", 0.05).holds
    claim = at_most("s", _rows(0.1, 0.2), "x", 0.25)
    assert (claim.measured, claim.bound) == ("0.1 to 0.2 in 2 runs", "≤ 0.25")


def test_wins_and_means():
    assert wins("s", _rows(0, 0), _rows(1, 1), "x").holds
    assert not wins("s", _rows(0, 1), _rows(1, 1), "x").holds
    assert exceeds("s", _rows(1, 3), _rows(1, 1), "x", 0.5).holds
    assert not exceeds("s", _rows(1, 3), _rows(1, 1), "x", 1.0).holds
    assert exceeds("s", _rows(1), _rows(1), "x").is_asked


def test_no_rows_are_no_evidence():
    with pytest.raises(ValueError, match="no row has"):
        select(_rows(1), value=2)


_OWN = ("own", "old_head", "old_backbone")  # of transfers


def _invented(experiment, value):
    """Rows of an experiment in which every number is `value`."""
    columns = ["train_loss", "alignment_ratio", "k_times_growth_ratio", "growth_ratio"]
    columns += ["fine_left", "common_left"]
    columns += [
        f"{kind}_error_{readout}"
        for kind in ("easy", "hard")
        for readout in ("max", "logsumexp", "sum", "probe_0.001", "probe_0.1", *_OWN)
    ]
    rows = []
    for trial in experiment.trials:
        for variant in trial.test_variants or ((0, 0),):
            for setting in trial.stop_losses or (trial.value,):
                head = {"curve": trial.curve, "value": setting, "step": 200, "seed": 0}
                head |= dict(zip(("wrong_strength", "outlier_noise_std"), variant, strict=True))
                rows.append(head | dict.fromkeys(columns, value))
    return rows


@pytest.mark.parametrize("name", list(all_experiments(SMOKE)))
def test_equal_numbers_for_all_never_satisfy_an_experiment(name):
    # Neither a network that gets everything right nor one that gets everything wrong passes.
    for value in (0.0, 0.3, 2.0):
        claims = verdicts_on(name, _invented(all_experiments(SMOKE)[name], value))
        verdicts = [claim.holds for claim in claims if not claim.is_asked]
        assert verdicts
        if name not in ("granularity", "hard_share") or value > 0:
            assert not all(verdicts)
