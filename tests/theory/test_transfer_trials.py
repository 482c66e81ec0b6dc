"""Transfer trials: where each way starts, what it leaves alone, and that seeds do not mix."""

import pytest

from fine2coarse.theory.data import MultiViewData
from fine2coarse.theory.training import TrainingSettings
from fine2coarse.theory.transfer_trials import (
    FINE_HEAD,
    NEW_HEAD,
    SUM_HEAD,
    TransferTrial,
    run_transfer_trial,
)
from fine2coarse.theory.trials import Trial, run_trial

_DATA = MultiViewData(num_subclasses=2, num_dimensions=20)


def _trial(**changes):
    defaults = {
        "data": _DATA,
        "recipe": TrainingSettings(num_steps=20),
        "num_test_images": 50,
        "neurons_per_leaf": 8,
        "snapshots": (0, 3),
        "coarse_steps": 6,
    }
    return TransferTrial("a", 1.0, **defaults | changes)


def _direct():
    return _trial(learning_rate=0, head_learning_rate=0)


def _at(rows, step):
    return [row for row in rows if row["step"] == step]


def _without(row, *names):
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize("head", [FINE_HEAD, SUM_HEAD, NEW_HEAD])
@pytest.mark.parametrize("probes_first", [True, False])
def test_every_way_yields_its_rows_whatever_seeds_run_beside(head, probes_first):
    trial = _trial(head=head, probes_first=probes_first)
    rows = run_transfer_trial(trial, (0, 1))
    assert len(rows) == 2 * trial.num_rows_per_seed == 6
    assert rows == run_transfer_trial(trial, (0, 1))  # the pretrained network is left alone
    for seed in (0, 1):
        alone = run_transfer_trial(trial, (seed,))
        assert alone == [row for row in rows if row["seed"] == seed]
    assert rows[0]["seed"] != rows[1]["seed"]
    assert rows[-1]["train_loss"] != rows[-2]["train_loss"]


def test_direct_is_the_pretrained_network_read_by_its_summed_probabilities():
    trial = _direct()
    rows = run_transfer_trial(trial, (0, 1))
    pretraining = trial.pretraining()
    assert type(pretraining) is Trial
    pretrained = run_trial(pretraining, (0, 1))
    for step in (0, 3, 6):
        for row, expected in zip(_at(rows, step), pretrained, strict=True):
            assert row["hard_error_own"] == expected["hard_error_logsumexp"]
            assert row["easy_error_own"] == expected["easy_error_logsumexp"]
            assert row["hard_error_old_head"] == row["hard_error_old_backbone"]
            assert row["alignment_ratio"] == pytest.approx(expected["alignment_ratio"])
            assert (row["fine_left"], row["common_left"]) == (1, 1)


def test_summed_starts_at_the_direct_error_and_a_sum_of_scores_at_that_readout():
    direct = _at(run_transfer_trial(_direct(), (0, 1)), 0)
    assert _at(run_transfer_trial(_trial(), (0, 1)), 0) == direct
    summed = _at(run_transfer_trial(_trial(head=SUM_HEAD), (0, 1)), 0)
    pretrained = run_trial(_trial().pretraining(), (0, 1))
    assert [row["hard_error_own"] for row in summed] == [
        row["hard_error_sum"] for row in pretrained
    ]


def test_all_heads_start_on_the_same_backbone():
    names = ("hard_error_old_head", "fine_left", "common_left", "alignment_ratio")
    starts = [
        [{name: row[name] for name in names} for row in _at(rows, 0)]
        for rows in (
            run_transfer_trial(_trial(**choices), (0, 1))
            for choices in ({}, {"head": SUM_HEAD}, {"head": NEW_HEAD, "probes_first": True})
        )
    ]
    assert starts[0] == starts[1] == starts[2]


def test_a_probe_leaves_the_backbone_alone_and_changes_the_head():
    plain, probed = (
        _at(run_transfer_trial(_trial(head=NEW_HEAD, probes_first=p), (0, 1, 2)), 0)
        for p in (False, True)
    )
    assert [row["hard_error_old_head"] for row in plain] == [
        row["hard_error_old_head"] for row in probed
    ]
    # Not one way or the other by chance: the mean over seeds of a probe is below that of chance.
    assert sum(row["easy_error_own"] for row in probed) < sum(
        row["easy_error_own"] for row in plain
    )
    for row in plain + probed:
        assert row["hard_error_own"] == row["hard_error_old_backbone"]


def test_transfer_trials_are_checked():
    with pytest.raises(ValueError, match="head is 'old': expected one of fine head, sum of scores"):
        _trial(head="old")
    with pytest.raises(ValueError, match=r"head_learning_rate is -0\.1: expected zero or more"):
        _trial(head_learning_rate=-0.1)
    for steps in (None, 0):
        with pytest.raises(ValueError, match=f"coarse_steps is {steps}: expected one or more"):
            _trial(coarse_steps=steps)
    with pytest.raises(ValueError, match="neurons_per_leaf is 0"):
        _trial(neurons_per_leaf=0)
