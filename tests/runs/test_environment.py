"""What a run notes of its process, and what happens where it goes on in another one."""

from __future__ import annotations

import json
import os

import pytest

from fine2coarse.files import read_json, write_json
from fine2coarse.recipes.recipe import SCHEMA_VERSION
from fine2coarse.runs import environment
from fine2coarse.runs.phase_folder import PhaseFolder, RunError

_RECIPE = {"seed": 0, "phase": {"total_steps": 4}}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No variable of the user's, and two threads."""
    for name in environment.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")


def begun(path, checkpoint=True) -> PhaseFolder:
    folder = PhaseFolder(path)
    folder.bind(_RECIPE)
    if checkpoint:
        (path / "checkpoints").mkdir()
        (path / "checkpoints" / "step-2.npz").touch()
    return folder


def test_what_is_pinned_and_what_is_set_is_noted(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("PYTHONHASHSEED", "3")  # changes no number
    told = environment.describe()
    assert told["keras"] == {
        "backend": "tensorflow",
        "image_data_format": "channels_last",
        "floatx": "float32",
        "epsilon": 1e-7,
    }
    assert told["cpu_threads"] == 2
    assert told["variables"] == {"TF_ENABLE_ONEDNN_OPTS": "0"}
    assert told["versions"]["keras"].startswith("3.")


@pytest.mark.parametrize("wanted", ["", "0", "many"])
def test_threads_are_the_cores_where_no_number_is_set(monkeypatch, wanted):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", wanted)
    assert environment.cpu_threads() == len(os.sched_getaffinity(0))


def test_the_environment_lies_in_the_recipe_and_is_no_part_of_it(tmp_path):
    folder = begun(tmp_path)
    assert read_json(tmp_path / "recipe.json")["environment"] == environment.describe()
    assert folder.recipe() == _RECIPE


def test_a_run_goes_on_in_the_same_environment_without_a_word(tmp_path, told):
    begun(tmp_path)
    before = (tmp_path / "recipe.json").read_bytes()
    PhaseFolder(tmp_path).bind(_RECIPE)
    assert (tmp_path / "recipe.json").read_bytes() == before
    assert not told()


def test_a_run_that_goes_on_in_another_one_says_and_notes_what_differs(tmp_path, monkeypatch, told):
    begun(tmp_path)
    first = environment.describe()
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    monkeypatch.setenv("XLA_FLAGS", "--xla_x")
    PhaseFolder(tmp_path).bind(_RECIPE)
    (line,) = told()
    assert line.startswith(f"{tmp_path} goes on in another environment ")
    assert "(cpu_threads 5, before 2; XLA_FLAGS --xla_x, before not set)" in line
    content = read_json(tmp_path / "recipe.json")
    assert content["environment"] == first
    assert content["later_environments"] == [environment.describe()]
    PhaseFolder(tmp_path).bind(_RECIPE)  # once more: the same as the latest
    assert read_json(tmp_path / "recipe.json") == content
    assert not told()
    assert PhaseFolder(tmp_path).recipe() == _RECIPE


def test_a_run_without_a_checkpoint_begins_anew(tmp_path, monkeypatch, told):
    begun(tmp_path, checkpoint=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    PhaseFolder(tmp_path).bind(_RECIPE)
    content = read_json(tmp_path / "recipe.json")
    kept = {"schema_version": SCHEMA_VERSION, **_RECIPE, "environment": environment.describe()}
    assert content == kept
    assert not told()


def test_a_finished_run_is_read_in_any_environment(tmp_path, monkeypatch, told):
    folder = begun(tmp_path)
    folder.write_result({"last_loss": 1.0})
    before = (tmp_path / "recipe.json").read_bytes()
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    PhaseFolder(tmp_path).bind(_RECIPE)
    assert (tmp_path / "recipe.json").read_bytes() == before
    assert not told()


def test_a_run_of_an_early_version_goes_on(tmp_path, told):
    begun(tmp_path)
    write_json(tmp_path / "recipe.json", _RECIPE)  # as it was written then
    PhaseFolder(tmp_path).bind(_RECIPE)
    content = read_json(tmp_path / "recipe.json")
    assert content == {**_RECIPE, "later_environments": [environment.describe()]}
    assert not told(), "what it was begun in is not known"


def test_another_recipe_is_still_refused(tmp_path):
    begun(tmp_path)
    with pytest.raises(RunError, match="differing: seed was 0, now 1"):
        PhaseFolder(tmp_path).bind({**_RECIPE, "seed": 1})


def test_an_adopted_run_keeps_the_environment_it_was_made_in(tmp_path, monkeypatch):
    trial = begun(tmp_path / "trial")
    trial.write_result({"last_loss": 1.0})
    made_in = environment.describe()
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "5")
    final = PhaseFolder(tmp_path / "final")
    assert final.adopt(trial, {"transfer": "x"}) == {"last_loss": 1.0, "transfer": "x"}
    assert read_json(tmp_path / "final" / "recipe.json")["environment"] == made_in


def test_json_keeps_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"photos-\xff")
    write_json(tmp_path / "a.json", {"path": name, "text": "é→"})
    assert read_json(tmp_path / "a.json") == {"path": name, "text": "é→"}
    text = (tmp_path / "a.json").read_text("utf-8")
    assert "photos-\\udcff" in text and "é→" in text
    assert json.loads(text)["path"] == name


def test_a_run_that_goes_on_on_the_other_backend_says_what_that_means(tmp_path, monkeypatch, told):
    monkeypatch.setattr(environment.keras_settings, "backend", lambda: "tensorflow")
    begun(tmp_path)
    first = environment.describe()
    monkeypatch.setattr(environment.keras_settings, "backend", lambda: "jax")
    monkeypatch.setenv("NPROC", "2")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    PhaseFolder(tmp_path).bind(_RECIPE)
    (line,) = told()
    assert "(backend jax, before tensorflow): from here on" in line
    assert "draws at random (dropout masks) is drawn anew. recipe.json notes both" in line
    versions = environment.describe()["versions"]
    assert {"jax", "jaxlib"} <= set(versions) and not {"jax", "jaxlib"} & set(first["versions"])


def test_a_run_that_goes_on_with_images_on_the_device_says_what_that_means(tmp_path, told):
    begun(tmp_path)
    PhaseFolder(tmp_path).bind(_RECIPE, augments_in_step=True)
    (line,) = told()
    assert "(augmentation in the step, before by tf.data): from here on" in line
    assert "draws at random (augmentation) is drawn anew" in line
    PhaseFolder(tmp_path).bind(_RECIPE, augments_in_step=True)
    assert not told()


@pytest.mark.parametrize(
    ("variables", "threads"),
    [({"NPROC": "3"}, 3), ({"NPROC": "3", "PJRT_NPROC": "5"}, 5), ({"PJRT_NPROC": "x"}, None)],
)
def test_threads_on_jax_are_those_of_its_own_variables(monkeypatch, variables, threads):
    monkeypatch.setattr(environment.keras_settings, "backend", lambda: "jax")
    for name in ("NPROC", "PJRT_NPROC"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment.cpu_threads() == (threads or len(os.sched_getaffinity(0)))
