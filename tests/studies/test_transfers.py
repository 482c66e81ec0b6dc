"""Transfers that keep the pretrained head, the choice among several, and what a run leaves."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.errors import RecipeError
from fine2coarse.export.run_export import ExportOptions, export_run
from fine2coarse.input import Examples
from fine2coarse.labels import LabelSpace
from fine2coarse.labels.class_map import ClassMap
from fine2coarse.models import Summation
from fine2coarse.recipes.names import DIRECT
from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.recipes.transfer_spec import TransferSpec
from fine2coarse.runs import execution
from fine2coarse.runs.classifiers import load_classifier
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import PREDICTIONS, PhaseFolder, RunError
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.runs.progress import Silent
from fine2coarse.runs.transfers import arm_candidates, baseline_candidates, best, fixed_transfer
from fine2coarse.studies.run_phases import (
    Executor,
    TransferStart,
    do_run,
    do_transfer,
    pretraining_run,
)
from fine2coarse.studies.run_plan import Run
from fine2coarse.studies.study_data import StudyData
from fine2coarse.studies.worker import RunFailed
from fine2coarse.training.engine import is_on_jax

NUM_IMAGES = 48
COARSE = LabelSpace(
    ("x", "y", "z"), ("ex", "why", "zed"), np.array([[0], [0], [1], [1], [2], [2]]), name="coarse"
)
IDS = tuple(f"i{number}" for number in range(NUM_IMAGES))


def examples(seed: int = 0) -> Examples:
    """Six kinds of grey with so much noise that not all are told apart."""
    generator = np.random.default_rng(seed)
    kinds = np.arange(NUM_IMAGES) % 6
    images = kinds[:, None, None, None] * 25 + generator.integers(0, 120, (NUM_IMAGES, 8, 8, 3))
    return Examples(tf.constant(images.astype(np.uint8)), IDS, kinds)


def spaces() -> dict[str, LabelSpace]:
    """One of each sort: nested, random ids, several labels an image, one label an image."""

    def of_images(classes: np.ndarray, name: str) -> LabelSpace:
        ids = tuple(map(str, range(int(classes.max()) + 1)))
        return LabelSpace(ids, ids, classes, "image", IDS, name)

    generator = np.random.default_rng(1)
    several = np.array([[0, 1], [0, -1], [2, 1], [2, 3], [4, -1], [4, 0]])
    return {
        "leaves": LabelSpace(tuple("abcdef"), tuple("abcdef"), np.arange(6)[:, None]),
        "random": of_images(generator.integers(0, 5, (NUM_IMAGES, 1)), "random"),
        "several": LabelSpace(tuple("abcde"), tuple("abcde"), several),
        "per_image": of_images(np.arange(NUM_IMAGES)[:, None], "per_image"),
    }


SPACES = spaces()


pytestmark = [pytest.mark.both_backends, pytest.mark.usefixtures("without_xla")]


def phase(total_steps: int = 6, **changes) -> PhaseSpec:
    settings = {
        "batch_size": 16,
        "optimizer": OptimizerSpec(name="adamw", learning_rate=1e-2),
        "augment": AugmentSpec(crop="none", flip=False),
        "log_every_steps": 2,
        "checkpoint_every_steps": 2,
    }
    return PhaseSpec(total_steps=total_steps, **{**settings, **changes})


def make_recipe(**changes) -> Recipe:
    content = {
        "dataset": {"name": "made"},
        "target": {"source": "level", "options": {"level": "coarse"}},
        "arms": {"leaves": {"source": "level", "options": {"level": "leaves"}}},
        "seeds": [0],
        "backbone": {"name": "mlp_B_2-Wi_64", "image_size_px": 8},
        "pretrain": dataclasses.asdict(phase()),
        "transfer": dataclasses.asdict(phase(4)),
    }
    return Recipe.from_config({**content, **changes})


def test_a_class_map_is_counted_once_a_label_space(monkeypatch):
    counted = []
    count = ClassMap.from_labels
    monkeypatch.setattr(
        ClassMap, "from_labels", lambda *given: counted.append(given[2]) or count(*given)
    )
    data = make_data()
    first = data.class_map(SPACES["leaves"])
    assert data.class_map(SPACES["leaves"]) is first
    other = dataclasses.replace(data, train_targets=None)
    assert other.class_map(SPACES["leaves"]) is None, "a changed copy counts anew"
    assert len(counted) == 1


def make_data(space: LabelSpace = SPACES["leaves"]) -> StudyData:
    train = examples()
    held_out = dataclasses.replace(examples(2), image_ids=tuple(f"h{i}" for i in range(NUM_IMAGES)))
    return StudyData(
        name="made",
        dataset_fingerprint="x",
        train=train,
        transfer_train=train,
        held_out=held_out,
        evaluate=examples(1),
        target=COARSE,
        spaces={("leaves", 0): space},
        train_targets=train.targets(COARSE),
    )


def pretrain(recipe: Recipe, space: LabelSpace, path, engine) -> tuple[TransferStart, dict]:
    data = make_data(space)
    result = execute(pretraining_run(recipe, space, 0, data), PhaseFolder(path), engine)
    return TransferStart.of_run(path, data, space), result


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", SPACES)
def test_a_summed_head_starts_at_the_direct_error_exactly(tmp_path, engine, name, loss):
    """Image by image, for each sort of label space and both losses of either phase."""
    recipe = make_recipe(pretrain=dataclasses.asdict(phase(loss=loss)), transfer_head="summed")
    source, direct = pretrain(recipe, SPACES[name], tmp_path / "pretrain", engine)
    for coarse_loss in ("softmax", "sigmoid"):
        folder = tmp_path / coarse_loss
        result = do_transfer(
            dataclasses.replace(recipe, transfer_mode="none"),
            phase(loss=coarse_loss),
            0,
            make_data(SPACES[name]),
            # Every space here, whether it tells targets apart or not.
            _Summable(source),
            folder,
            Executor(engine, "t"),
        )
        assert result["evaluation"] == direct["evaluation"]
        assert result["held_out"] == direct["held_out"]
        assert result["images_seen"] == 0 and result["transfer"] == DIRECT
        ours, theirs = (np.load(p / PREDICTIONS) for p in (folder, tmp_path / "pretrain"))
        assert np.array_equal(ours["predicted"], theirs["predicted"])


class _Summable(TransferStart):
    """A source whose sums are taken even where they do not tell all targets apart."""

    def __init__(self, source: TransferStart) -> None:
        super().__init__(source.start_from, source.class_map, source.fine_loss, can_sum=True)


def test_the_direct_error_is_that_of_summed_probabilities_and_of_the_largest_class(
    tmp_path, engine
):
    recipe = make_recipe()
    _, direct = pretrain(recipe, SPACES["leaves"], tmp_path, engine)
    model, data = load_classifier(tmp_path), make_data()
    logits = model.predict(data.evaluate.images.numpy() / 255.0, verbose=0)
    targets = data.evaluate.targets(COARSE)
    probabilities = tf.nn.softmax(logits).numpy().reshape(NUM_IMAGES, 3, 2).sum(-1)
    assert direct["evaluation"]["num_wrong"] == (probabilities.argmax(-1) != targets).sum()
    assert direct["direct_argmax"]["num_wrong"] == (logits.argmax(-1) // 2 != targets).sum()


def test_training_a_summed_head_lowers_the_coarse_loss(tmp_path, engine):
    recipe = make_recipe(transfer_head="summed", transfer_mode="finetune")
    source, direct = pretrain(recipe, SPACES["leaves"], tmp_path / "pretrain", engine)
    result = do_transfer(
        recipe, phase(40), 0, make_data(), source, tmp_path / "t", Executor(engine, "t")
    )
    losses = [float(row["loss"]) for row in PhaseFolder(tmp_path / "t").metrics()]
    assert losses[-1] < 0.9 * losses[0]
    assert result["evaluation"]["num_wrong"] <= direct["evaluation"]["num_wrong"]
    assert result["transfer"] == "summed" and result["num_classes"] == 3


class _Interrupted(Exception):
    pass


class _InterruptAt(Silent):
    def advance(self, progress, images_per_second):
        if progress.step >= 3:
            raise _Interrupted


@pytest.mark.slow
def test_a_summed_transfer_resumes_exactly_with_average_and_parts(tmp_path, engine):
    recipe = make_recipe()
    source, _ = pretrain(recipe, SPACES["leaves"], tmp_path / "pretrain", engine)
    optimizer = OptimizerSpec(name="adamw", learning_rate=3e-3, ema_decay=0.9, weight_decay=0.1)
    own = phase(6, optimizer=optimizer, accumulate_steps=2, checkpoint_every_steps=2)
    run = PhaseRun(
        purpose="transfer", space=COARSE, phase=own, backbone=recipe.backbone, seed=0,
        precision="float32", train=examples(), evaluate=examples(1), dataset_fingerprint="x",
        start_from=source.start_from, head="summed",
        summation=Summation(source.class_map, "softmax"),
    )  # fmt: skip
    whole, cut = PhaseFolder(tmp_path / "whole"), PhaseFolder(tmp_path / "cut")
    expected = execute(run, whole, engine)
    with pytest.raises(_Interrupted):
        execute(run, cut, engine, _InterruptAt())
    assert execute(run, cut, engine)["evaluation"] == expected["evaluation"]
    for weights in ("last", "ema"):
        ours, theirs = (
            load_classifier(f.path, weights=weights).get_weights() for f in (whole, cut)
        )
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.slow
def test_sums_of_sums(tmp_path, engine):
    """A summed transfer's own classes can be summed once more: its fine head is kept."""
    recipe = make_recipe(transfer_head="summed")
    source, _ = pretrain(recipe, SPACES["leaves"], tmp_path / "pretrain", engine)
    do_transfer(recipe, phase(2), 0, make_data(), source, tmp_path / "t", Executor(engine, "t"))
    two = LabelSpace(("p", "q"), ("p", "q"), np.array([[0], [0], [0], [0], [1], [1]]))
    data = dataclasses.replace(make_data(), target=two, train_targets=examples().targets(two))
    again = TransferStart.of_run(tmp_path / "t", data, COARSE)
    result = do_transfer(
        recipe, phase(2), 0, data, again, tmp_path / "again", Executor(engine, "t")
    )
    assert result["num_classes"] == 2
    model = load_classifier(tmp_path / "again")
    assert model.head.fine.kernel.shape[-1] == 6
    assert model.predict(np.zeros((1, 8, 8, 3)), verbose=0).shape == (1, 2)


@pytest.mark.skipif(is_on_jax(), reason="exports are made on TensorFlow")
@pytest.mark.slow
def test_a_summed_run_is_exported_whole_with_the_targets_names(tmp_path, engine):
    recipe = make_recipe(transfer_head="summed")
    source, _ = pretrain(recipe, SPACES["leaves"], tmp_path / "pretrain", engine)
    do_transfer(recipe, phase(2), 0, make_data(), source, tmp_path / "t", Executor(engine, "t"))
    export_run(tmp_path / "t", tmp_path / "whole", ExportOptions(with_head=True))
    export_run(tmp_path / "t", tmp_path / "features", ExportOptions())
    images = examples().images.numpy()[:4].astype(np.float32) / 255
    loaded = tf.saved_model.load(str(tmp_path / "whole"))
    ours = load_classifier(tmp_path / "t").predict(images, verbose=0)
    assert np.allclose(loaded(images), ours, atol=1e-5)
    assert "why" in (tmp_path / "whole" / "labels.csv").read_text()
    features = tf.saved_model.load(str(tmp_path / "features"))(images)
    assert features.shape == (4, 64)
    # From an export only the backbone can be taken: its head's label space is not there.
    run = pretraining_run(recipe, SPACES["leaves"], 0, make_data())
    kept = dataclasses.replace(run, start_from=tmp_path / "whole", head="kept")
    with pytest.raises(RunError, match="transfer_head='new'"):
        execute(kept, PhaseFolder(tmp_path / "no"), engine)


@pytest.mark.skipif(is_on_jax(), reason="exports are made on TensorFlow")
def test_a_direct_use_is_exported_though_nothing_was_trained(tmp_path, engine):
    recipe = make_recipe(transfer_head="summed", transfer_mode="none")
    source, _ = pretrain(recipe, SPACES["leaves"], tmp_path / "pretrain", engine)
    do_transfer(recipe, phase(2), 0, make_data(), source, tmp_path / "t", Executor(engine, "t"))
    export_run(tmp_path / "t", tmp_path / "whole", ExportOptions(with_head=True))
    assert "Nothing was trained" in (tmp_path / "whole" / "README.md").read_text()


@pytest.mark.parametrize("head", ["new", "summed"])
@pytest.mark.slow
def test_probe_then_finetune_shares_the_steps_and_sums_the_cost(tmp_path, engine, head):
    recipe = make_recipe(transfer_head=head, transfer_mode="probe_then_finetune")
    source, _ = pretrain(recipe, SPACES["leaves"], tmp_path / "pretrain", engine)
    result = do_transfer(
        recipe, phase(6), 0, make_data(), source, tmp_path / "t", Executor(engine, "t")
    )
    probe, rest = PhaseFolder(tmp_path / "t" / "probe"), PhaseFolder(tmp_path / "t")
    assert [f.recipe()["phase"]["total_steps"] for f in (probe, rest)] == [3, 3]
    assert result["images_seen"] == 6 * 16 and probe.result()["images_seen"] == 3 * 16
    flops = result["cost"]["train_flops_per_image"] * 6
    parts = [probe.result()["cost"]["train_flops_per_image"] * 3]
    assert flops > parts[0] > 0
    # The probe leaves the backbone as it was; fine-tuning begins where the probe ended.
    ours, theirs = (
        load_classifier(path).backbone.get_weights() for path in (probe.path, source.start_from)
    )
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_fixed_transfer_is_named_after_what_it_does():
    names = {
        (head, mode): fixed_transfer(phase(), head, mode, True).name
        for head, mode in [("auto", "auto"), ("new", "auto"), ("auto", "none"), ("new", "finetune"),
                           ("averaged", "finetune"), ("new", "linear_probe")]
    }  # fmt: skip
    assert list(names.values()) == [
        "summed", "probe_then_finetune", "direct", "new", "averaged_finetune", "linear_probe",
    ]  # fmt: skip
    assert fixed_transfer(phase(), "auto", "auto", False).name == "probe_then_finetune"
    for head, mode in (("summed", "auto"), ("auto", "none")):
        with pytest.raises(RecipeError, match=r"new head|cannot be summed"):
            fixed_transfer(phase(), head, mode, False)


def test_candidates_are_as_many_for_the_baseline():
    arm = arm_candidates(phase(), {}, True)
    base = baseline_candidates(phase(), phase(), {})
    # Of the arm's the first trains nothing; the baseline's straight training comes besides.
    assert [t.name for t in arm] == ["direct", "summed_slow", "summed", "new"]
    assert [t.name for t in base] == ["continue", "continue_slow", "new"]
    decayed = phase(optimizer=OptimizerSpec(weight_decay=1e-3))
    assert baseline_candidates(phase(), decayed, {})[1].phase.optimizer.weight_decay == 1e-2
    rates = [t.phase.optimizer.learning_rate for t in arm]
    assert rates == pytest.approx([1e-2, 1e-3, 1e-2, 1e-2])
    assert len(arm_candidates(phase(), {}, False)) == 4
    own = {"a": TransferSpec("summed"), "b": TransferSpec("new", "linear_probe")}
    assert [(t.name, t.head) for t in baseline_candidates(phase(), phase(), own)] == [
        ("a", "kept"), ("b", "new"),
    ]  # fmt: skip
    with pytest.raises(RecipeError, match="list one with head='new'"):
        arm_candidates(phase(), {"a": TransferSpec("summed")}, False)


def test_of_equals_the_first_is_taken():
    assert best({"direct": 3, "summed": 2, "new": 2}, ["direct", "summed", "new"]) == "summed"


def test_an_arm_tries_its_candidates_on_held_out_images(tmp_path, engine):
    told: list[str] = []
    run, recipe = Run("leaves", 0), make_recipe()
    do_run(recipe, run, make_data(), tmp_path, Executor(engine, "t", told.append))
    result = PhaseFolder(tmp_path / "transfer").result()
    tried = result["candidates"]
    assert list(tried) == ["direct", "summed_slow", "summed", "new"]
    wrong = {name: found["held_out"]["num_wrong"] for name, found in tried.items()}
    assert result["transfer"] == min(wrong, key=wrong.get)
    assert result["held_out"] == tried[result["transfer"]]["held_out"]
    direct = PhaseFolder(tmp_path / "pretrain").result()
    assert tried["direct"]["evaluation"] == direct["evaluation"]
    assert tried["direct"]["images_seen"] == 0 and tried["new"]["images_seen"] == 4 * 16
    assert len(told) == 1 and f"transfer {result['transfer']} taken" in told[0]
    trained = {path.name for path in (tmp_path / "trials").iterdir()}
    assert trained == {"summed_slow", "summed", "new"}
    _reads_back(recipe, run, tmp_path, engine, result)


@pytest.mark.slow
def test_the_baseline_branches_off_its_own_training(tmp_path, engine):
    run, recipe = Run("baseline", 0), make_recipe()
    do_run(recipe, run, make_data(), tmp_path, Executor(engine, "t", lambda line: None))
    result = PhaseFolder(tmp_path / "baseline").result()
    assert list(result["candidates"]) == ["straight", "continue", "continue_slow", "new"]
    trunk = tmp_path / "trials" / "straight"
    assert PhaseFolder(trunk).recipe()["branch_step"] == 6
    kept = tmp_path / "trials" / "continue"
    assert PhaseFolder(kept).recipe()["head"] == {"kind": "kept"}
    _reads_back(recipe, run, tmp_path, engine, result)


def _reads_back(recipe, run, folder, engine, result) -> None:
    """A finished run is read, not done again, though its trials were deleted to save space."""
    name = "baseline" if run.arm == "baseline" else "transfer"
    shutil.rmtree(folder / "trials")
    do_run(recipe, run, make_data(), folder, Executor(engine, "t"))
    assert PhaseFolder(folder / name).result() == result and not (folder / "trials").exists()
    smoothed = {"label_smoothing": 0.1}
    longer = make_recipe(
        pretrain=dataclasses.asdict(phase(**smoothed)),
        transfer=dataclasses.asdict(phase(4, **smoothed)),
    )
    with pytest.raises(RunError, match=r"label_smoothing was 0\.0, now 0\.1"):
        do_run(longer, run, make_data(), folder, Executor(engine, "t"))


def test_the_branch_is_the_state_of_its_step(tmp_path, engine):
    """Whatever the intervals of log rows and checkpoints, and after a kill beyond it."""
    recipe = make_recipe()
    data = make_data()

    def run(folder: str, every: int, branch_step: int, observer=None) -> PhaseFolder:
        made = dataclasses.replace(
            pretraining_run(recipe, COARSE, 0, data), target=None, class_map=None, held_out=None,
            phase=phase(8, log_every_steps=every, checkpoint_every_steps=every),
            branch_step=branch_step,
        )  # fmt: skip
        execute(made, PhaseFolder(tmp_path / folder), engine, observer)
        return PhaseFolder(tmp_path / folder)

    other = run("a", 8, 5)
    with pytest.raises(_Interrupted):
        run("b", 1, 5, _InterruptAt())
    cut = run("b", 1, 5)
    weights = [load_classifier(f.path, weights="branch").get_weights() for f in (other, cut)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    with np.load(cut.path / "checkpoints" / "step-8.npz", allow_pickle=False) as state:
        assert json.loads(str(state["meta"]))["step"] == 8
    with pytest.raises(RunError, match="not made to branch off from"):
        load_classifier(run("c", 8, 0).path, weights="branch")


@pytest.mark.slow
def test_another_pretraining_is_refused_in_a_finished_folder(tmp_path, engine):
    recipe = make_recipe()
    executor = Executor(engine, "t", lambda line: None)
    for number in (0, 1):
        run = pretraining_run(recipe, SPACES["leaves"], number, make_data())
        execute(run, PhaseFolder(tmp_path / str(number)), engine)
    sources = [
        TransferStart.of_run(tmp_path / str(number), make_data(), SPACES["leaves"])
        for number in (0, 1)
    ]
    own = make_recipe(transfer_choices={"a": {"head": "new", "mode": "probe_then_finetune"}})
    for name, made in (("tried", recipe), ("probed", own)):
        arguments = (made, made.transfer, 0, make_data())
        first = do_transfer(*arguments, sources[0], tmp_path / name / "t", executor)
        assert do_transfer(*arguments, sources[0], tmp_path / name / "t", executor) == first
        with pytest.raises(RunError, match=r"start_from.*seed was 0, now 1"):
            do_transfer(*arguments, sources[1], tmp_path / name / "t", executor)


@pytest.mark.slow
def test_a_transfer_that_diverges_is_left_out(tmp_path, engine):
    told: list[str] = []
    wild = {"learning_rate_factor": 1e30}
    recipe = make_recipe(transfer_choices={"wild": wild, "as_it_is": {"mode": "none"}})
    do_run(recipe, Run("leaves", 0), make_data(), tmp_path, Executor(engine, "t", told.append))
    result = PhaseFolder(tmp_path / "transfer").result()
    assert result["transfer"] == "as_it_is" and list(result["candidates"]) == ["as_it_is"]
    assert "not finite" in result["failed_candidates"]["wild"]
    assert any("transfer wild failed and is left out" in line for line in told)
    with pytest.raises(RunFailed, match="transfer wild: the loss"):
        only = make_recipe(transfer_choices={"wild": wild})
        do_run(only, Run("leaves", 0), make_data(), tmp_path / "no", Executor(engine, "t"))


def test_a_changed_class_map_is_refused(tmp_path, engine):
    recipe = make_recipe(transfer_head="summed")
    source, _ = pretrain(recipe, SPACES["leaves"], tmp_path / "pretrain", engine)
    do_transfer(recipe, phase(2), 0, make_data(), source, tmp_path / "t", Executor(engine, "t"))
    other = ClassMap.from_labels(np.arange(6)[:, None], np.array([0, 1, 1, 1, 2, 2]), (6, 3))
    other.save(tmp_path / "t" / "class_map.npz")
    with pytest.raises(RunError, match="not the class map"):
        load_classifier(tmp_path / "t")


def test_total_cost_keeps_the_sum_of_operations():
    stages = [
        {"elapsed_seconds": 1.0, "images_seen": 10, "cost": {"train_flops_per_image": 3,
         "peak_memory_bytes": 5}},
        {"elapsed_seconds": 2.0, "images_seen": 30, "cost": {"train_flops_per_image": 7,
         "peak_memory_bytes": 4, "device": "d"}},
    ]  # fmt: skip
    total = execution.total_cost(stages)
    assert (total["elapsed_seconds"], total["images_seen"]) == (3.0, 40)
    assert total["cost"] == {"train_flops_per_image": 6.0, "peak_memory_bytes": 5, "device": "d"}
