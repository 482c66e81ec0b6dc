"""What an export holds: the run's numbers, TF Hub's API, signatures, papers; all or nothing."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from processes import start
from tensorflow.core.protobuf import saved_model_pb2

from fine2coarse.export.export_folder import write_archive
from fine2coarse.export.model_card import Terms, kaggle_metadata, model_card
from fine2coarse.export.reusable import ImageInput, exportable, reusable_model
from fine2coarse.export.run_export import ExportOptions, export_run
from fine2coarse.hub.resolve import HubError
from fine2coarse.input.augmentation import eval_image
from fine2coarse.models import BackboneSpec, Classifier, backbone_names
from fine2coarse.runs.phase_folder import RunError
from tests.export import checked_export
from tests.export.checked_export import PARITY, numbers
from tests.exported_runs import images, write_run

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("num", "size_px"), [(1, 16), (5, 16), (2, 24), (3, 40)])
def test_features_and_logits_are_the_runs_at_other_batch_and_image_sizes(
    resnet, classifier, num, size_px
):
    run = Classifier(BackboneSpec("resnet_tiny", size_px), 4, seed=0)
    run.set_weights(resnet.model.get_weights())
    batch = images(num, size_px)
    features = tf.saved_model.load(resnet.folder)(batch)
    logits = tf.saved_model.load(classifier.folder)(batch)
    np.testing.assert_allclose(features, numbers(run.backbone, batch), atol=PARITY)
    np.testing.assert_allclose(logits, numbers(run, batch), atol=PARITY)


def test_height_and_width_may_differ(resnet):
    batch = images(2, 24)[:, :16]
    assert tf.saved_model.load(resnet.folder)(batch).shape == (2, 64)


# TensorFlow gives little of their memory back: each in a process of its own.
_LARGE = {"vit_b16", "vit_b32", "vit_l16"}


@pytest.fixture
def graphs_as_written():
    """Without TensorFlow's rewriting of graphs, which rounds otherwise in each function."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


@pytest.mark.slow
@pytest.mark.parametrize("name", backbone_names())
def test_every_backbone_keeps_its_numbers_and_its_size(tmp_path, graphs_as_written, name):
    try:
        if name in _LARGE:
            process = start(
                pathlib.Path(checked_export.__file__), {"name": name, "folder": str(tmp_path)}
            )
            told, errors = process.communicate(timeout=600)
            assert (process.returncode, told) == (0, "the export is as the run\n"), errors[-3000:]
        else:
            checked_export.check(name, tmp_path)
    finally:
        shutil.rmtree(tmp_path)


def test_the_reusable_api(resnet, classifier):
    loaded = tf.saved_model.load(resnet.folder)
    backbone = resnet.model.backbone
    assert len(loaded.variables) == len(backbone.weights)
    assert len(loaded.trainable_variables) == len(backbone.trainable_variables)
    assert list(loaded.regularization_losses) == []
    assert len(tf.saved_model.load(classifier.folder).variables) == len(backbone.weights) + 2


def test_batch_norm_statistics_change_in_training_mode_alone(resnet):
    loaded = tf.saved_model.load(resnet.folder)
    trainable = {id(v) for v in loaded.trainable_variables}
    statistics = [v for v in loaded.variables if id(v) not in trainable]
    before = [v.numpy() for v in statistics]
    loaded(images(4, 16))
    assert all(np.array_equal(a, v) for a, v in zip(before, statistics))
    loaded(images(4, 16), training=True)
    assert not any(np.array_equal(a, v) for a, v in zip(before, statistics))


def test_regularisers_become_losses(tmp_path):
    with exportable():
        inputs = keras.Input((4, 4, 3))
        flat = keras.layers.Flatten()(inputs)
        dense = keras.layers.Dense(
            2, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.5)
        )
        backbone = keras.Model(inputs, dense(flat))
    model = reusable_model(backbone, ImageInput(4, any_size=False))
    tf.saved_model.save(model.root, str(tmp_path), signatures=model.signatures)
    loaded = tf.saved_model.load(str(tmp_path))
    (loss,) = loaded.regularization_losses
    assert loss().numpy() == 0.5 * 48 * 2


def test_signatures_are_those_that_saved_model_cli_expects(classifier):
    program = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
    shown = subprocess.run(
        [*program, "show", "--all", "--dir", classifier.folder],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    signatures = dict(
        re.findall(r"signature_def\['(\w+)'\]:(.*?Method name is: [\w/]*)", shown, re.DOTALL)
    )
    served = signatures["serving_default"]
    assert "inputs['image_bytes']" in served and "dtype: DT_STRING" in served
    assert served.endswith("tensorflow/serving/predict")
    for output in ("logits", "probabilities", "class_index", "class_name"):
        assert f"outputs['{output}']" in served
    for name in ("image_classification", "image_feature_vector"):
        assert "inputs['images']" in signatures[name] and "outputs['default']" in signatures[name]
        assert "shape: (-1, -1, -1, 3)" in signatures[name]


def test_common_signatures_give_what_the_call_gives(classifier):
    loaded = tf.saved_model.load(classifier.folder)
    batch = tf.constant(images(2, 16))
    logits = loaded.signatures["image_classification"](images=batch)["default"]
    features = loaded.signatures["image_feature_vector"](images=batch)["default"]
    np.testing.assert_allclose(logits, loaded(batch), atol=PARITY)
    np.testing.assert_allclose(features, numbers(classifier.model.backbone, batch), atol=PARITY)


def _encoded() -> dict[str, bytes]:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 33, 3), np.uint8)
    return {
        "jpeg": tf.io.encode_jpeg(pixels).numpy(),
        "png": tf.io.encode_png(pixels).numpy(),
        "grey png": tf.io.encode_png(pixels[..., :1]).numpy(),
        "png with alpha": tf.io.encode_png(np.concatenate([pixels, pixels[..., :1]], -1)).numpy(),
    }


def test_serving_takes_encoded_images_as_the_run_evaluates_them(classifier):
    serve = tf.saved_model.load(classifier.folder).signatures["serving_default"]
    encoded = _encoded()
    served = serve(image_bytes=tf.constant(list(encoded.values())))
    batch = tf.stack([eval_image(tf.constant(b), 16) for b in encoded.values()])
    logits = numbers(classifier.model, batch)
    np.testing.assert_allclose(served["logits"], logits, atol=PARITY)
    np.testing.assert_allclose(tf.reduce_sum(served["probabilities"], -1), 1.0, atol=1e-6)
    names = [b"ant", b"bee line", b"cat", b"dog"]
    assert served["class_name"].numpy().tolist() == [names[i] for i in np.argmax(logits, -1)]


def test_serving_shows_photographs_upright_and_alpha_on_white(resnet):
    serve = tf.saved_model.load(resnet.folder).signatures["serving_default"]
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    orientation, exif = 0x0112, Image.Exif()
    exif[orientation] = 6  # to be turned clockwise by 90°
    photograph, lossless = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(photograph, "JPEG", exif=exif)
    clear = np.dstack([pixels, np.zeros((16, 16), np.uint8)])
    Image.fromarray(clear).save(lossless, "WEBP", lossless=True, exact=True)
    stored = np.asarray(Image.open(photograph))
    shown = np.stack([np.rot90(stored, -1), np.full((16, 16, 3), 255)])
    served = serve(image_bytes=tf.constant([photograph.getvalue(), lossless.getvalue()]))
    expected = numbers(resnet.model.backbone, shown.astype(np.float32) / 255)
    np.testing.assert_allclose(served["feature_vector"], expected, atol=1e-5)


def test_decoding_in_an_export_calls_no_python(resnet):
    graph = saved_model_pb2.SavedModel()
    graph.ParseFromString((pathlib.Path(resnet.folder) / "saved_model.pb").read_bytes())
    functions = graph.meta_graphs[0].graph_def.library.function
    ops = {node.op for function in functions for node in function.node_def}
    assert "DecodeJpeg" in ops and not [op for op in ops if "PyFunc" in op]


def test_serving_refuses_garbage_and_goes_on(resnet):
    serve = tf.saved_model.load(resnet.folder).signatures["serving_default"]
    good = _encoded()["jpeg"]
    for bad, message in (
        (b"", "expected the bytes of a JPEG, PNG, GIF, BMP or WebP file"),
        (b"not an image", "convert the image to one of them"),
        (good[: len(good) // 4], "Invalid JPEG data"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            serve(image_bytes=tf.constant([good, bad]))
    assert serve(image_bytes=tf.constant([good]))["feature_vector"].shape == (1, 64)


def test_a_head_of_sigmoids_is_served_by_sigmoids(tmp_path):
    write_run(tmp_path / "run", BackboneSpec("resnet_tiny", 8))
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    recipe["phase"]["loss"] = "sigmoid"
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe))
    export_run(tmp_path / "run", tmp_path / "out", ExportOptions(with_head=True))
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    served = loaded.signatures["serving_default"](image_bytes=tf.constant([_encoded()["png"]]))
    np.testing.assert_allclose(served["probabilities"], tf.sigmoid(served["logits"]), rtol=1e-6)


def test_card_tells_dataset_labels_counts_and_terms(classifier):
    card = (classifier.exported.folder / "README.md").read_text()
    fingerprint = classifier.exported.facts.recipe["label_space"]["fingerprint"]
    for told in (
        "demo/default/1.0.0", "f" * 64, "pets, 4 classes", fingerprint, '"total_steps": 3',
        "| all | top-1 error | 3 / 8 | 37.50 % |", "| hard | top-1 error | 2 / 4 | 50.00 % |",
        "drawn by fine2coarse", "any height and width", "logits float32 [batch, 4]",
    ):  # fmt: skip
        assert told in card


def test_card_tells_what_the_numbers_are_of(classifier):
    facts = classifier.exported.facts
    result = {
        **facts.result,
        "evaluated_space": "kingdom",
        "evaluated_weights": "ema",
        "metrics": {"num_images": 8, "num_top1": 5, "num_top5": 7},
    }
    card = model_card(dataclasses.replace(facts, result=result))
    assert "| all | top-5 accuracy | 7 / 8 | 87.50 % |" in card
    assert "Evaluated on the classes of kingdom" in card
    assert "those of the moving average, which are not the weights in this folder" in card
    assert "not the weights" not in model_card(
        dataclasses.replace(facts, result=result, averaged=True)
    )
    assert "was not evaluated" in model_card(
        dataclasses.replace(facts, result={"images_seen": 24, "last_loss": 0.5})
    )


def test_the_cards_five_lines_run(classifier, monkeypatch, capsys):
    card = (classifier.exported.folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL).group(1)
    assert len(code.strip().splitlines()) == 5
    monkeypatch.chdir(classifier.folder)
    exec(compile(code, "card", "exec"), {})
    assert capsys.readouterr().out.strip().endswith("(1, 4)")


def test_labels_lie_beside_in_order(classifier):
    with (classifier.exported.folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"class_index": "1", "class_id": "b", "class_name": "bee\nline"}
    assets = (classifier.exported.folder / "assets" / "class_names.txt").read_text()
    assert assets == "ant\nbee line\ncat\ndog\n"


def test_kaggle_metadata_has_the_uploaders_fields(classifier):
    folder = classifier.exported.folder
    model = json.loads((folder / "model-metadata.json").read_text())
    instance = json.loads((folder / "model-instance-metadata.json").read_text())
    assert set(model) == {
        "ownerSlug", "title", "slug", "subtitle", "isPrivate", "description", "publishTime",
        "provenanceSources",
    }  # fmt: skip
    assert set(instance) == {
        "ownerSlug", "modelSlug", "instanceSlug", "framework", "overview", "usage", "licenseName",
        "fineTunable", "trainingData", "modelInstanceType", "baseModelInstance",
        "externalBaseModelUrl",
    }  # fmt: skip
    assert model["ownerSlug"] == "INSERT_OWNER_SLUG_HERE"
    assert (model["slug"], instance["modelSlug"]) == ("fine2coarse-resnet-tiny",) * 2
    assert (instance["framework"], instance["instanceSlug"]) == (
        "tensorFlow2",
        "pets-classification",
    )
    assert instance["licenseName"] == "Apache 2.0"
    for kind in (model["slug"], instance["instanceSlug"]):
        assert re.fullmatch("[a-z0-9]+(?:-[a-z0-9]+)*", kind)  # what the uploader asks of a slug


def test_without_an_owner_or_a_licence_the_uploader_refuses(classifier):
    facts = dataclasses.replace(classifier.exported.facts, terms=Terms("Not known."))
    instance = kaggle_metadata(facts, "card")["model-instance-metadata.json"]
    assert (instance["ownerSlug"], instance["licenseName"]) == ("INSERT_OWNER_SLUG_HERE", "")


def test_the_archive_has_the_model_at_its_root_and_loads(classifier, tmp_path):
    archive = classifier.exported.archive
    before = archive.read_bytes()
    assert write_archive(classifier.exported.folder).read_bytes() == before
    with tarfile.open(fileobj=io.BytesIO(before)) as tar:
        assert {"saved_model.pb", "README.md", "assets/class_names.txt"} <= set(tar.getnames())
        for member in tar.getmembers():
            path = pathlib.PurePosixPath(member.name)
            assert not path.is_absolute() and ".." not in path.parts
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
        tar.extractall(tmp_path, filter="data")
    np.testing.assert_allclose(
        tf.saved_model.load(str(tmp_path))(images(1, 16)), numbers(classifier.model, images(1, 16)),
        atol=PARITY,
    )  # fmt: skip


def test_mixed_precision_runs_are_exported_in_float32(tmp_path):
    spec = BackboneSpec("resnet_tiny", 8)
    model = write_run(tmp_path / "run", spec, precision="mixed_bfloat16")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        export_run(tmp_path / "run", tmp_path / "out", ExportOptions())
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    assert {v.dtype for v in loaded.variables} == {tf.float32}
    np.testing.assert_allclose(
        loaded(images(2, 8)), numbers(model.backbone, images(2, 8)), atol=PARITY
    )  # fmt: skip


@pytest.mark.slow
def test_the_average_is_taken_where_there_is_one(tmp_path):
    spec = BackboneSpec("resnet_tiny", 8)
    last = write_run(tmp_path / "run", spec, with_ema=True).backbone
    average = Classifier(spec, 4, seed=0)
    average.load_weights(tmp_path / "run" / "ema.weights.h5")
    batch = images(2, 8)
    assert not np.allclose(last(batch), average.backbone(batch))
    for ema, expected in ((None, average.backbone), (True, average.backbone), (False, last)):
        out = tmp_path / f"out-{ema}"
        done = export_run(tmp_path / "run", out, ExportOptions(ema=ema))
        np.testing.assert_allclose(
            tf.saved_model.load(str(out))(batch), numbers(expected, batch), atol=PARITY
        )
        assert done.facts.averaged == (ema is not False)


def test_an_average_that_is_not_there_is_refused(resnet, tmp_path):
    with pytest.raises(RunError, match="kept no average"):
        export_run(resnet.run, tmp_path / "out", ExportOptions(ema=True))
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_refused(tmp_path):
    write_run(tmp_path / "run", BackboneSpec("resnet_tiny", 8))
    (tmp_path / "run" / "result.json").unlink()
    with pytest.raises(RunError, match="finished run"):
        export_run(tmp_path / "run", tmp_path / "out", ExportOptions())
    assert not (tmp_path / "out").exists()


def test_folders_that_hold_something_are_left_alone(resnet, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for out, message in (
        (tmp_path / "mine", "not empty"),
        (tmp_path / "file", "is a file"),
        (resnet.exported.folder, "holds a SavedModel already"),
    ):
        with pytest.raises(HubError, match=message):
            export_run(resnet.run, out, ExportOptions())
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("moment", [1, 5, 8, 9])
def test_cut_short_anywhere_nothing_loads_and_the_next_export_is_whole(
    tmp_path, monkeypatch, resnet, moment
):
    replaced = []
    replace = pathlib.Path.replace

    def replace_until(self, target):
        replaced.append(target)
        if len(replaced) == moment:
            raise Killed
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", replace_until)
    with pytest.raises(Killed):
        export_run(resnet.run, tmp_path / "out", ExportOptions())
    monkeypatch.undo()
    assert not list(tmp_path.rglob("saved_model.pb"))
    with pytest.raises(OSError):
        tf.saved_model.load(str(tmp_path / "out"))
    export_run(resnet.run, tmp_path / "out", ExportOptions())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        path.name for path in resnet.exported.folder.iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["out/README.md", "out/variables"])
def test_a_killed_process_leaves_no_folder_that_loads(resnet, tmp_path, wanted):
    process = subprocess.Popen(
        [sys.executable, "launch/export.py", f"--run={resnet.run}", f"--out={tmp_path / 'out'}"],
        cwd=_ROOT, env={"PYTHONPATH": str(_ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / wanted).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (tmp_path / "out" / "saved_model.pb").exists():  # it was quicker than the kill: all is there
        assert tf.saved_model.load(str(tmp_path / "out"))(images(1, 16)).shape == (1, 64)
    else:
        with pytest.raises(OSError):
            tf.saved_model.load(str(tmp_path / "out"))


def test_size_on_disk(resnet, classifier):
    for sample in (resnet, classifier):
        assert sample.exported.num_bytes <= 1.02 * sample.exported.num_weight_bytes + 2e6
