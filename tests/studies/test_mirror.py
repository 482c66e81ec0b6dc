"""A study's folder on another file system: TensorFlow's `ram://` stands in for a bucket."""

from __future__ import annotations

import os
import runpy
import uuid

import pytest
import tensorflow as tf

from fine2coarse import files, keras_settings
from fine2coarse.errors import UsageError
from fine2coarse.studies import mirror as module
from fine2coarse.studies.mirror import Mirror, open_workdir


@pytest.fixture
def remote():
    return f"ram://{uuid.uuid4().hex}/study"


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json").replace("_npz", ".npz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def listing(remote: str) -> list[str]:
    return sorted(
        f"{where}/{name}".removeprefix(f"{remote}/").replace("//", "/")
        for where, _, names in tf.io.gfile.walk(remote)
        for name in names
    )


def read(remote: str, name: str) -> str:
    with tf.io.gfile.GFile(f"{remote}/{name}") as file:
        return file.read()


RUN = "runs__fine-seed0__pretrain__"


def test_there_and_back(remote, tmp_path):
    ours = Mirror(remote, tmp_path / "a")
    write(ours.local, study_json="{}", **{RUN + "checkpoints__step-4_npz": "4"})
    write(ours.local, **{RUN + "status_json": "4", "claims__x_json": "", "data__y_json": ""})
    ours.push(ours.local)
    assert listing(remote) == [
        "runs/fine-seed0/pretrain/checkpoints/step-4.npz",
        "runs/fine-seed0/pretrain/status.json",
        "study.json",
    ]
    theirs = Mirror(remote, tmp_path / "b")
    theirs.pull()
    assert (theirs.local / "runs/fine-seed0/pretrain/status.json").read_text() == "4"
    assert not list(theirs.local.rglob("step-4.npz")), "checkpoints are fetched by who needs them"
    theirs.pull("runs/fine-seed0", heavy=True)
    assert (theirs.local / "runs/fine-seed0/pretrain/checkpoints/step-4.npz").read_text() == "4"


def test_only_what_changed_is_sent_and_old_checkpoints_go(remote, tmp_path, monkeypatch):
    ours = Mirror(remote, tmp_path)
    write(tmp_path, **{RUN + "checkpoints__step-4_npz": "4", RUN + "recipe_json": "{}"})
    ours.push(tmp_path)
    sent = []
    put = Mirror._put
    monkeypatch.setattr(Mirror, "_put", lambda self, name: sent.append(name) or put(self, name))
    (tmp_path / "runs/fine-seed0/pretrain/checkpoints/step-4.npz").unlink()
    write(tmp_path, **{RUN + "checkpoints__step-8_npz": "8"})
    ours.push(tmp_path / "runs" / "fine-seed0" / "pretrain")
    assert sent == ["runs/fine-seed0/pretrain/checkpoints/step-8.npz"]
    assert "runs/fine-seed0/pretrain/checkpoints/step-4.npz" not in listing(remote)


def test_curves_that_are_written_anew_take_the_place_of_the_old_ones(remote, tmp_path):
    ours, theirs = Mirror(remote, tmp_path / "a"), Mirror(remote, tmp_path / "b")
    for machine, run in ((ours, "fine-seed0"), (theirs, "random-seed0")):
        shown = machine.local / "tensorboard" / run / "pretrain"
        shown.mkdir(parents=True)
        (shown / "events.out.tfevents.1.curves").write_text("old")
        machine.push(machine.local / "tensorboard")
    shown = ours.local / "tensorboard" / "fine-seed0" / "pretrain"
    (shown / "events.out.tfevents.1.curves").rename(shown / "events.out.tfevents.2.curves")
    ours.push(ours.local / "tensorboard")
    assert listing(remote) == [
        "tensorboard/fine-seed0/pretrain/events.out.tfevents.2.curves",
        "tensorboard/random-seed0/pretrain/events.out.tfevents.1.curves",
    ]


def test_a_result_is_sent_after_all_that_belongs_to_it(remote, tmp_path, monkeypatch):
    write(tmp_path, **{RUN + name: "x" for name in ("result_json", "status_json", "a_json")})
    (tmp_path / "runs/fine-seed0/pretrain/metrics.csv").write_text("step\n")
    (tmp_path / "runs/fine-seed0/pretrain" / files.partial_name("half.npz")).write_text("")
    sent = []
    monkeypatch.setattr(Mirror, "_put", lambda self, name: sent.append(name.split("/")[-1]))
    Mirror(remote, tmp_path).push(tmp_path)
    assert sent == ["metrics.csv", "a.json", "status.json", "result.json"]


def test_what_is_being_done_here_is_not_replaced_but_what_others_finished_is(remote, tmp_path):
    other, ours = Mirror(remote, tmp_path / "a"), Mirror(remote, tmp_path / "b")
    write(other.local, **{RUN + "status_json": "4"})
    other.push(other.local)
    write(ours.local, **{RUN + "status_json": "8"})
    ours.pull()
    assert (ours.local / "runs/fine-seed0/pretrain/status.json").read_text() == "8"
    last = "runs__fine-seed0__transfer__result_json"
    write(other.local, **{RUN + "status_json": "12", last: "{}"})
    other.push(other.local)
    ours.pull()
    assert (ours.local / "runs/fine-seed0/pretrain/status.json").read_text() == "12"


def test_an_empty_address_is_an_empty_study(remote, tmp_path):
    Mirror(remote, tmp_path).pull()
    assert list(tmp_path.iterdir()) == []


def test_local_folders_need_no_mirror_and_children_share_the_copy(remote, tmp_path):
    with open_workdir(str(tmp_path)) as (workdir, mirror):
        assert workdir == tmp_path and mirror is None
    with open_workdir(remote) as (workdir, mirror):
        assert mirror.remote == remote
        assert os.environ[module.SCRATCH_VARIABLE] == str(workdir)
        with open_workdir(remote) as (of_child, _):
            assert of_child == workdir
        assert workdir.is_dir()
    assert not workdir.exists() and module.SCRATCH_VARIABLE not in os.environ


@pytest.mark.slow
def test_a_study_goes_on_from_a_bucket_on_a_machine_with_an_empty_disk(remote, tmp_path):
    """One process leaves amid a transfer that it tries; another one has only what is remote.

    A third one, whose disk is empty too, reads all of it back, the transfers tried included.
    """
    from fine2coarse.datasets.open import open_dataset
    from fine2coarse.recipes.recipe import Recipe
    from fine2coarse.studies.run_plan import Run
    from fine2coarse.studies.study import Study
    from fine2coarse.studies.study_data import load_study_data
    from fine2coarse.training.engine import make_engine

    card = runpy.run_path("configs/demo.py")["get_config"]("smoke").to_dict()
    slow = {"head": "new", "learning_rate_factor": 1e-9}
    recipe = Recipe.from_config({**card, "transfer_choices": {"a": slow, "b": {}}})
    dataset = open_dataset("demo", recipe.dataset.options, str(tmp_path / "data"))
    runs = [Run("fine", 0)]
    data = load_study_data(recipe, dataset, runs=runs)
    strategy = make_engine("one_device")

    class Stop(Exception):
        pass

    class Leaving(Mirror):
        def push(self, path):
            super().push(path)
            if path.name == "b" and (path / "status.json").is_file():
                raise Stop

    first = Study(recipe, tmp_path / "a", mirror=Leaving(remote, tmp_path / "a"))
    with pytest.raises(Stop):
        first.run(data, strategy, runs=runs)
    assert "runs/fine-seed0/trials/b/checkpoints/step-4.npz" in listing(remote)
    second = Study(recipe, tmp_path / "b", mirror=Mirror(remote, tmp_path / "b"))
    (row,) = second.run(data, strategy, lambda line: None, runs=runs)
    assert row.num_images == 128
    assert row.transfer in ("a", "b")
    metrics = tmp_path / "b" / "runs/fine-seed0/trials/b/metrics.csv"
    assert [line.split(",")[0] for line in metrics.read_text().splitlines()[1:]] == list("2468")
    assert "fine,32,0" in read(remote, "results.csv")
    third = Study(recipe, tmp_path / "c", mirror=Mirror(remote, tmp_path / "c"))
    assert third.run(data, strategy, lambda line: None, runs=runs) == [row]
    assert (tmp_path / "c/runs/fine-seed0/trials/b/result.json").is_file()
    assert not list((tmp_path / "c").rglob("checkpoints"))


def test_a_bucket_needs_tensorflow_and_a_local_folder_none(monkeypatch, tmp_path):
    monkeypatch.delenv(module.SCRATCH_VARIABLE, raising=False)
    monkeypatch.setattr(keras_settings, "has_tensorflow", lambda: False)
    with open_workdir(str(tmp_path)) as (folder, mirror):
        assert (folder, mirror) == (tmp_path, None)
    told = "a --workdir on another file system needs TensorFlow.*; or work in a local folder"
    with pytest.raises(UsageError, match=told), open_workdir("gs://bucket/study"):
        pass
    assert module.SCRATCH_VARIABLE not in os.environ
