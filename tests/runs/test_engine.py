"""Runs with the engine's options on: averages, best on validation, probes, crops, presets, ..."""

from __future__ import annotations

import dataclasses
import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input import Examples
from fine2coarse.labels import LabelSpace
from fine2coarse.labels.class_map import ClassMap
from fine2coarse.models import BackboneSpec, backbone_names
from fine2coarse.models.backbones import build_backbone
from fine2coarse.models.roles import moving_statistics
from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
from fine2coarse.recipes.start_spec import StartSpec
from fine2coarse.runs import execution
from fine2coarse.runs.classifiers import load_classifier
from fine2coarse.runs.evaluation import FeatureEncoder
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import EMA_WEIGHTS, PhaseFolder, RunError
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.training.engine import choose_jit_compile, is_on_jax

FINE = LabelSpace(tuple("abcd"), tuple("abcd"), np.arange(4)[:, None], name="fine")
COARSE = LabelSpace(("x", "y"), ("x", "y"), np.array([[0], [0], [1], [1]]), name="coarse")
FINE_TO_COARSE = ClassMap.from_labels(FINE.table, COARSE.table[:, 0], (4, 2))

pytestmark = [pytest.mark.both_backends, pytest.mark.usefixtures("without_xla")]


def examples(count: int = 32) -> Examples:
    """Four kinds of flat grey with some noise."""
    generator = np.random.default_rng(0)
    kinds = np.arange(count) % 4
    images = kinds[:, None, None, None] * 60 + generator.integers(0, 30, (count, 16, 16, 3))
    return Examples(
        tf.constant(images.astype(np.uint8)), tuple(f"i{i}" for i in range(count)), kinds
    )


def make_run(**changes) -> PhaseRun:
    settings = {
        "purpose": "pretrain",
        "space": FINE,
        "phase": PhaseSpec(
            total_steps=60,
            batch_size=16,
            optimizer=OptimizerSpec(name="adamw", learning_rate=3e-3),
            augment=AugmentSpec(crop="none", flip=False),
            log_every_steps=30,
            checkpoint_every_steps=60,
        ),
        "backbone": BackboneSpec("mlp_B_2-Wi_64", 16),
        "seed": 0,
        "precision": "float32",
        "train": examples(),
        "evaluate": examples(),
        "dataset_fingerprint": "x",
    }
    return PhaseRun(**{**settings, **changes})


def with_phase(run: PhaseRun, **changes) -> PhaseRun:
    return dataclasses.replace(run, phase=dataclasses.replace(run.phase, **changes))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, engine):
    """A finished pretraining on fine labels, evaluated on the coarse ones."""
    folder = PhaseFolder(tmp_path_factory.mktemp("pretrained"))
    run = make_run(target=COARSE, class_map=FINE_TO_COARSE)
    run = with_phase(run, optimizer=dataclasses.replace(run.phase.optimizer, ema_decay=0.9))
    return folder, execute(run, folder, engine)


def test_coarse_from_fine_before_any_finetuning(pretrained):
    _, result = pretrained
    assert result["evaluated_space"] == "coarse" and result["label_space"] == "fine"
    assert result["metrics"]["num_top1"] == 32  # an easy task, overfit
    assert result["metrics"]["per_class"] == {"x": [16, 16], "y": [16, 16]}


def test_the_average_is_kept_beside_the_last_weights(pretrained):
    folder, result = pretrained
    assert (folder.path / EMA_WEIGHTS).is_file() and result["evaluated_weights"] == "ema"
    last, average = (load_classifier(folder.path, weights=which) for which in ("last", "ema"))
    assert not np.array_equal(last.head.get_weights()[0], average.head.get_weights()[0])
    auto = load_classifier(folder.path)
    assert np.array_equal(auto.head.get_weights()[0], average.head.get_weights()[0])


def test_averaged_weights_are_saved_and_tested_with_averaged_statistics(tmp_path, engine):
    optimizer = OptimizerSpec(learning_rate=0.05, ema_decay=0.9)
    run = make_run(backbone=BackboneSpec("resnet_tiny", 16))
    run = with_phase(run, total_steps=6, optimizer=optimizer, checkpoint_every_steps=6)
    result = execute(run, PhaseFolder(tmp_path), engine)
    with np.load(tmp_path / "checkpoints" / "step-6.npz") as arrays:
        names = [name for name, _ in json.loads(str(arrays["meta"]))["variables"]]
        values = [arrays[f"v{i:05}"] for i in range(len(names))]
    for weights, suffix in (("ema", "_average"), ("last", "")):
        saved = load_classifier(tmp_path, weights=weights)
        for statistic in ("moving_mean", "moving_variance"):
            theirs = [v for n, v in zip(names, values) if n.endswith(statistic + suffix)]
            ours = [v.numpy() for v in moving_statistics(saved) if v.path.endswith(statistic)]
            assert len(ours) == 9 and all(map(np.array_equal, ours, theirs))
        if weights == "ema":
            right = np.argmax(saved.predict(run.train.images.numpy() / 255.0, verbose=0), 1)
            assert (right == run.train.targets(FINE)).sum() == result["metrics"]["num_top1"]


def test_a_probe_encodes_each_image_once_and_learns(pretrained, tmp_path, engine, monkeypatch):
    encoded = []
    encode = FeatureEncoder.__call__
    monkeypatch.setattr(
        FeatureEncoder,
        "__call__",
        lambda self, images: encoded.append(len(images)) or encode(self, images),
    )
    folder, _ = pretrained
    run = make_run(purpose="transfer", space=COARSE, start_from=folder.path, mode="linear_probe")
    result = execute(run, PhaseFolder(tmp_path), engine)
    assert encoded == [32, 32]
    assert result["metrics"]["num_top1"] >= 30
    saved = load_classifier(tmp_path)
    right = np.argmax(saved.predict(run.train.images.numpy() / 255.0, verbose=0), 1)
    assert (right == run.train.targets(COARSE)).sum() == result["metrics"]["num_top1"]


def test_best_weights_on_validation_are_the_final_ones(tmp_path, engine, caplog):
    caplog.set_level(logging.INFO)
    validation = {"validation_share": 0.25, "validate_every_steps": 5, "final_weights": "best"}
    run = with_phase(make_run(), total_steps=20, **validation)
    result = execute(run, PhaseFolder(tmp_path), engine)
    rows = [row for row in PhaseFolder(tmp_path).metrics() if row["validation_accuracy"]]
    assert [row["step"] for row in rows] == ["5", "10", "15", "20"]
    best = max(float(row["validation_accuracy"]) for row in rows)
    assert result["validation_accuracy"] == best
    first = next(row["step"] for row in rows if float(row["validation_accuracy"]) == best)
    assert f"those of step {first}, best on validation" in caplog.text


@pytest.fixture
def compiled(monkeypatch) -> list:
    """The evaluation functions that are made, as they are made."""
    if is_on_jax():
        from fine2coarse.training.jax.engine import RowFunctions
    else:
        from fine2coarse.training.tensorflow.engine import RowFunctions
    made, compile_row = [], RowFunctions._compile

    def noting(*arguments):
        made.append(compile_row(*arguments))
        return made[-1]

    monkeypatch.setattr(RowFunctions, "_compile", noting)
    return made


def num_traces(functions: list) -> list[int]:
    """How often each function that was called at all was compiled."""
    counts = [
        function._cache_size() if is_on_jax() else function.experimental_get_tracing_count()
        for function in functions
    ]
    return [count for count in counts if count]


def test_evaluation_is_compiled_once_for_all_validations_and_splits(tmp_path, engine, compiled):
    run = make_run(evaluate=examples(300), held_out=examples(20))  # 300: two batches
    run = with_phase(run, total_steps=15, validation_share=0.25, validate_every_steps=5)
    execute(run, PhaseFolder(tmp_path), engine)
    rows = PhaseFolder(tmp_path).metrics()
    assert [row["step"] for row in rows if row["validation_accuracy"]] == ["5", "10", "15"]
    assert num_traces(compiled) == [1]


def test_summed_scores_of_both_splits_are_compiled_once(tmp_path, engine, compiled):
    run = make_run(target=COARSE, class_map=FINE_TO_COARSE, held_out=examples(20))
    execute(with_phase(run, total_steps=1), PhaseFolder(tmp_path), engine)
    assert num_traces(compiled) == [1]


def test_crops_of_both_splits_are_compiled_once(tmp_path, engine, compiled):
    run = make_run(test_crops=2, held_out=examples(20))
    execute(with_phase(run, total_steps=1), PhaseFolder(tmp_path), engine)
    assert num_traces(compiled) == [1]


def test_a_probe_compiles_its_backbone_once(pretrained, tmp_path, engine, compiled):
    run = make_run(start_from=pretrained[0].path, mode="linear_probe", held_out=examples(20))
    execute(with_phase(run, total_steps=1), PhaseFolder(tmp_path), engine)
    assert num_traces(compiled) == [1, 1]  # the features, and the head's evaluation


def test_crops_of_test_images_are_averaged(pretrained, tmp_path, engine):
    folder, _ = pretrained
    run = make_run(purpose="transfer", start_from=folder.path, test_crops=3)
    result = execute(with_phase(run, total_steps=5), PhaseFolder(tmp_path), engine)
    assert result["metrics"]["num_images"] == 32


def test_sigmoid_with_several_labels_an_image(tmp_path, engine):
    table = np.array([[0, 1], [0, -1], [2, -1], [2, 1]])
    space = LabelSpace(tuple("abc"), tuple("abc"), table)
    run = make_run(space=space, evaluate=None)
    execute(with_phase(run, loss="sigmoid"), PhaseFolder(tmp_path), engine)
    losses = [float(row["loss"]) for row in PhaseFolder(tmp_path).metrics()]
    assert losses[-1] < 0.5 * losses[0]


def test_start_from_a_preset(tmp_path, engine):
    import keras_hub

    preset = tmp_path / "preset"
    source = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[2, 2, 2, 2],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(32, 32, 3),
    )
    source.save_to_preset(str(preset))
    from fine2coarse.runs.starting_weights import start_weights

    backbone = build_backbone(BackboneSpec("resnet18", 32), seed=5)
    start_weights(backbone, StartSpec("preset", str(preset)))
    inner = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    assert all(np.array_equal(a, b) for a, b in zip(inner.get_weights(), source.get_weights()))
    with pytest.raises(RunError, match="do not fit"):
        start_weights(
            build_backbone(BackboneSpec("resnet34", 32), seed=0), StartSpec("preset", str(preset))
        )


# Too large for every run of CI: their smaller sisters are there.
_BY_HAND = {"vit_b16", "vit_b32", "vit_l16"}
if is_on_jax():  # which trains like TensorFlow: training/test_tensorflow_and_jax.py
    _BY_HAND |= {"resnet18", "resnet34", "resnet50", "vit_s16", "mlp_B_12-Wi_1024"}


def _tiny(name: str) -> BackboneSpec:
    size = 16 if name.startswith("mlp") else 32
    return BackboneSpec(name, size, small_stem=name == "resnet18")


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(
            _tiny(name),
            id=name,
            marks=pytest.mark.stress if name in _BY_HAND else pytest.mark.slow,
        )
        for name in backbone_names()
    ],
)
def test_every_backbone_overfits_a_tiny_set(tmp_path, engine, spec, monkeypatch):
    monkeypatch.setattr(execution, "choose_jit_compile", choose_jit_compile)  # as users train it
    rate = 1e-3 if spec.name.startswith(("resnet", "mlp_B_2")) else 1e-4
    optimizer = OptimizerSpec(name="adamw", learning_rate=rate, warmup_steps=5)
    run = with_phase(make_run(backbone=spec), optimizer=optimizer, total_steps=80)
    assert execute(run, PhaseFolder(tmp_path), engine)["metrics"]["num_top1"] == 32
