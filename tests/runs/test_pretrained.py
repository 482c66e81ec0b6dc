"""Transfers from exported runs and from SavedModels of others."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse import hub, keras_settings
from fine2coarse.errors import UsageError
from fine2coarse.export.run_export import ExportOptions, export_run
from fine2coarse.hub.resolve import HubError
from fine2coarse.input import Examples
from fine2coarse.labels import LabelSpace
from fine2coarse.models import BackboneSpec, backbones, build_backbone
from fine2coarse.models.weights import resize_positions
from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
from fine2coarse.recipes.start_spec import StartSpec
from fine2coarse.runs.classifiers import load_classifier
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import LABEL_SPACE, PhaseFolder, RunError
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.runs.pretrained import find_pretrained
from fine2coarse.runs.starting_weights import describe_start, start_weights
from tests.exported_runs import write_run


def make_run(**changes) -> PhaseRun:
    generator = np.random.default_rng(0)
    images = tf.constant(generator.integers(0, 255, (16, 8, 8, 3), np.uint8))
    examples = Examples(images, tuple(f"i{i}" for i in range(16)), np.arange(16) % 3)
    settings = {
        "purpose": "pretrain",
        "space": LabelSpace(("a", "b", "c"), ("a", "b", "c"), np.arange(3)[:, None]),
        "phase": PhaseSpec(
            total_steps=2,
            batch_size=8,
            optimizer=OptimizerSpec(learning_rate=0.05),
            augment=AugmentSpec(crop="none"),
        ),
        "backbone": BackboneSpec("resnet_tiny", 8),
        "seed": 0,
        "precision": "float32",
        "train": examples,
        "evaluate": examples,
        "dataset_fingerprint": "x",
        "dataset_name": "test",
    }
    return PhaseRun(**{**settings, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory, engine):
    """A pretraining run, and its export with and without head."""
    root = tmp_path_factory.mktemp("pretrained")
    execute(make_run(), PhaseFolder(root / "run"), engine)
    export_run(root / "run", root / "features", ExportOptions())
    export_run(root / "run", root / "logits", ExportOptions(with_head=True))
    return root


def transfer(pretrained: str, folder, engine, **changes) -> dict:
    found = find_pretrained(pretrained, 8)
    run = make_run(purpose="transfer", start_from=found.start_from, **changes)
    if found.backbone:
        run = make_run(purpose="transfer", backbone=found.backbone, **changes)
    return execute(run, PhaseFolder(folder), engine)


def test_a_run_keeps_its_label_space(finished):
    space = LabelSpace.load(finished / "run" / LABEL_SPACE)
    assert space.fingerprint == make_run().space.fingerprint


@pytest.mark.slow
def test_transfer_from_the_export_is_transfer_from_the_run(finished, tmp_path, engine):
    numbers = [
        transfer(str(finished / name), tmp_path / name, engine)["last_loss"]
        for name in ("run", "features", "logits")
    ]
    assert numbers[0] == numbers[1] == numbers[2]
    recipe = PhaseFolder(tmp_path / "features").recipe()
    assert recipe["start_from"]["export"]["dataset_fingerprint"] == "x"


def test_an_export_of_another_backbone_is_refused(finished, tmp_path, engine):
    with pytest.raises(RunError, match=r"do not fit resnet_small .*only wanted: .*only there: "):
        transfer(
            str(finished / "features"), tmp_path / "t", engine,
            backbone=BackboneSpec("resnet_small", 8),
        )  # fmt: skip


@pytest.fixture(scope="module")
def foreign(finished):
    """A SavedModel that nobody would know for one of ours."""
    folder = finished / "foreign"
    shutil.copytree(finished / "features", folder)
    for path in (*folder.glob("*.json"), folder / "README.md"):
        path.unlink()
    return folder


def test_a_savedmodel_of_others_is_the_backbone(foreign, finished, tmp_path, engine):
    """In a linear probe, which keeps statistics as they are, it does what the run's own does."""
    ours = transfer(str(finished / "run"), tmp_path / "ours", engine, mode="linear_probe")
    theirs = transfer(str(foreign), tmp_path / "theirs", engine, mode="linear_probe")
    assert theirs["last_loss"] == pytest.approx(ours["last_loss"], abs=1e-5)
    recipe = PhaseFolder(tmp_path / "theirs").recipe()
    assert recipe["backbone"]["handle"] == str(foreign)
    assert len(recipe["backbone"]["sha256"]) == 64


@pytest.mark.slow
def test_what_was_finetuned_on_it_is_loaded_transferred_and_exported(foreign, tmp_path, engine):
    before = find_pretrained(str(foreign), 8).backbone.build().get_weights()
    transfer(str(foreign), tmp_path / "t", engine)
    model = load_classifier(tmp_path / "t")
    after = model.backbone.get_weights()
    assert sum(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)) > 40
    again = transfer(str(tmp_path / "t"), tmp_path / "again", engine, mode="linear_probe")
    assert again["num_classes"] == 3
    export_run(tmp_path / "t", tmp_path / "out", ExportOptions(with_head=True))
    batch = np.random.default_rng(1).random((2, 8, 8, 3), np.float32)
    exported = tf.saved_model.load(str(tmp_path / "out"))
    np.testing.assert_allclose(exported(batch), model(batch), atol=1e-6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(exported(batch, training=True))
    gradients = tape.gradient(loss, list(exported.trainable_variables))
    assert len(gradients) == 29 and all(g is not None for g in gradients)


@pytest.mark.parametrize("handle", ["{root}/logits", "https://tfhub.dev/fine2coarse/tiny/1"])
def test_pretraining_starts_from_a_handle(finished, monkeypatch, handle):
    monkeypatch.setattr(
        "fine2coarse.hub.resolve._fetch_from_tf_hub", lambda _: finished / "features"
    )
    start = StartSpec("hub", handle.format(root=finished))
    backbone = build_backbone(BackboneSpec("resnet_tiny", 8), seed=7)
    start_weights(backbone, start)
    expected = load_classifier(finished / "run").backbone.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(backbone.get_weights(), expected, strict=True))
    assert describe_start(start)["export"]["dataset_fingerprint"] == "x"


def test_pretraining_starts_from_no_other_savedmodel(foreign, tmp_path):
    with pytest.raises(RunError, match=r"of others .*fine2coarse transfer --pretrained="):
        describe_start(StartSpec("hub", str(foreign)))
    with pytest.raises(RunError, match=r"start\.source=.*no SavedModel at"):
        describe_start(StartSpec("hub", str(tmp_path / "nothing")))


def test_an_exported_vit_starts_one_for_larger_images(tmp_path, monkeypatch):
    monkeypatch.setitem(backbones._BUILDERS, "vit_ti16", backbones._vit(16, 1, 2, 8))
    model = write_run(tmp_path / "run", BackboneSpec("vit_ti16", 32))
    export_run(tmp_path / "run", tmp_path / "out", ExportOptions())
    larger = build_backbone(BackboneSpec("vit_ti16", 64), seed=7)
    start_weights(larger, StartSpec("run", str(tmp_path / "out")))
    for ours, theirs in zip(larger.weights, model.backbone.weights, strict=True):
        value = theirs.numpy()
        if "position_embedding" in ours.path:
            assert ours.shape[0] == 17 and value.shape[0] == 5
            value = resize_positions(value, 17)
        np.testing.assert_array_equal(ours, value)


def test_a_savedmodel_without_feature_vectors_is_refused(tmp_path):
    root = tf.train.Checkpoint()
    root.w = tf.Variable(1.0)
    spec = tf.TensorSpec([None, 8, 8, 3])
    root.__call__ = tf.function(lambda x: x * root.w, input_signature=[spec])
    root.variables = root.trainable_variables = [root.w]
    tf.saved_model.save(root, str(tmp_path / "maps"))
    with pytest.raises(HubError, match="one feature vector an image"):
        find_pretrained(str(tmp_path / "maps"), 8).backbone.build()


def test_what_is_nothing_of_the_kind_is_refused(finished, tmp_path):
    with pytest.raises(RunError, match=r"no result.json of a finished run; no SavedModel"):
        find_pretrained(str(tmp_path / "nothing"), 8)
    shutil.copytree(finished / "run", tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    with pytest.raises(RunError, match="finished run"):
        find_pretrained(str(tmp_path / "run"), 8)


def test_a_label_space_of_another_run_is_not_exported(finished, tmp_path):
    shutil.copytree(finished / "run", tmp_path / "run")
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    recipe["label_space"]["fingerprint"] = "0" * 64
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(RunError, match="is not the label space"):
        export_run(tmp_path / "run", tmp_path / "out", ExportOptions())
    (tmp_path / "run" / LABEL_SPACE).unlink()
    with pytest.raises(RunError, match="names the classes"):
        export_run(tmp_path / "run", tmp_path / "out", ExportOptions())


def test_a_run_s_folder_is_its_pretraining_as_a_start(tmp_path):
    spec = BackboneSpec("resnet_tiny", 8)
    wanted = write_run(tmp_path / "run" / "pretrain", spec)
    write_run(tmp_path / "run" / "transfer", spec)
    start = StartSpec("run", str(tmp_path / "run"))
    assert describe_start(start) == describe_start(
        StartSpec("run", str(tmp_path / "run" / "pretrain"))
    )
    backbone = build_backbone(spec, seed=9)
    start_weights(backbone, start)
    for ours, theirs in zip(backbone.weights, wanted.backbone.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_a_folder_near_a_run_names_the_run(tmp_path):
    write_run(tmp_path / "runs" / "fine", BackboneSpec("resnet_tiny", 8))
    with pytest.raises(RunError, match=r"did you mean .*runs/fine\?"):
        find_pretrained(str(tmp_path / "runs"), 8)


def test_on_jax_a_savedmodel_is_no_backbone_and_an_export_needs_tensorflow(
    foreign, finished, monkeypatch
):
    monkeypatch.setattr(keras_settings, "backend", lambda: "jax")
    with pytest.raises(HubError, match=r"Keras is on 'jax': use --backend=tensorflow"):
        find_pretrained(str(foreign), 8)
    with pytest.raises(HubError, match="start from a run of ours"):
        hub.HubLayer  # noqa: B018 - it is refused when it is named
    assert find_pretrained(str(finished / "run"), 8).start_from == finished / "run"
    monkeypatch.setattr(keras_settings, "has_tensorflow", lambda: False)
    with pytest.raises(UsageError, match="a transfer from an export's SavedModel needs TensorFlow"):
        find_pretrained(str(finished / "features"), 8)
