"""Predictions image by image, as columns: of which runs, in which use, and what an error says."""

from __future__ import annotations

import numpy as np
import pytest

import fine2coarse
from fine2coarse.errors import UsageError
from tests.analysis.fake_study import DIRECT, ERRORS, write_study

_IMAGES = 200


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> fine2coarse.StudyResult:
    folder = tmp_path_factory.mktemp("predictions") / "study"
    return fine2coarse.read_result(write_study(folder, direct=DIRECT, num_images=_IMAGES))


def test_a_row_for_each_run_and_image(study):
    columns = study.predictions()
    assert {len(column) for column in columns.values()} == {12 * _IMAGES}
    assert [*columns] == ["arm", "seed", "image_id", "target", "predicted", "margin", "wrong"]
    assert columns["image_id"][:2].tolist() == ["test/a<b>&0000", "test/a<b>&0001"]
    # The fake study: image i is of class i mod 4; a wrong one is taken for the next class.
    assert columns["target"][:5].tolist() == ["class0", "class1", "class2", "class3", "class0"]
    assert np.array_equal(columns["wrong"], columns["target"] != columns["predicted"])
    assert np.array_equal(columns["wrong"], columns["margin"] < 0)
    for run in study.runs:
        own = (columns["arm"] == run["arm"]) & (columns["seed"] == run["seed"])
        assert columns["wrong"][own].sum() == run["num_wrong"]


def test_one_run_in_either_use(study):
    after = study.predictions("fine", seed=1)
    direct = study.predictions("fine", seed=1, use="direct")
    assert set(after["arm"]) == {"fine"} and set(after["seed"]) == {1}
    assert after["wrong"].mean() == pytest.approx(ERRORS["fine"], abs=0.005)
    assert direct["wrong"].mean() == pytest.approx(DIRECT["fine"], abs=0.005)
    assert np.array_equal(after["image_id"], direct["image_id"])
    assert set(study.predictions(use="direct")["arm"]) == {"middle", "fine", "random"}


def test_texts_are_shared_by_the_rows(study):
    columns = study.predictions("middle")
    first, second = (columns["image_id"][row] for row in (3, _IMAGES + 3))
    assert first is second
    assert len({id(name) for name in columns["target"][:_IMAGES]}) == 4


def test_only_the_runs_that_are_asked_for_are_read(study, tmp_path):
    folder = write_study(tmp_path / "study", num_images=8)
    (folder / "runs" / "random-seed2" / "transfer" / "predictions.npz").write_bytes(b"damaged")
    result = fine2coarse.read_result(folder)
    assert len(result.predictions("fine")["wrong"]) == 24
    with pytest.raises(UsageError, match=r"random-seed2/transfer/predictions\.npz: damaged"):
        result.predictions()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"arm": "fien"}, "did you mean 'fine'"),
        ({"seed": 7}, "no finished run has seed 7; finished seeds: 0, 1, 2"),
        ({"arm": "fine", "seed": 7}, "no finished run of arm 'fine' has seed 7"),
        ({"use": "summed"}, "unknown use 'summed'; there are: transferred, direct"),
        ({"arm": "baseline", "use": "direct"}, "no direct use of arm 'baseline'"),
    ],
)
def test_what_there_is_none_of(study, asked, message):
    with pytest.raises(UsageError, match=message):
        study.predictions(**asked)


def test_a_study_of_early_days_kept_none(tmp_path):
    early = fine2coarse.read_result(write_study(tmp_path / "study", predictions=False))
    with pytest.raises(UsageError, match=r"no predictions\.npz; an early version"):
        early.predictions()


def test_a_folder_that_is_gone(tmp_path):
    result = fine2coarse.read_result(write_study(tmp_path / "study"))
    (tmp_path / "study").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="study: no such folder"):
        result.predictions()
    assert len(fine2coarse.read_result(tmp_path / "moved").predictions("fine", 0)["seed"]) == 200


def test_pandas_takes_the_columns_as_they_are(study):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(study.predictions("fine"))
    errors = frame.groupby("seed").wrong.mean()
    assert errors.index.tolist() == [0, 1, 2] and errors[1] == pytest.approx(0.17, abs=0.005)
