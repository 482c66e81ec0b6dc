"""HubLayer: trains, stays frozen, saves, finds its SavedModel again, on one device and two."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.hub import HubError, HubLayer
from fine2coarse.hub.resolve import SEARCH_PATH
from tests.exported_runs import images

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def labelled(num: int = 16, size_px: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Images whose class is whether they are bright."""
    labels = np.arange(num) % 2
    bright = 0.5 * labels[:, None, None, None].astype(np.float32)
    return np.float32(0.5) * images(num, size_px) + bright, labels


def values(variables) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(v)) for v in variables]


def num_changed(before: list[np.ndarray], variables) -> int:
    return sum(not np.array_equal(a, b) for a, b in zip(before, values(variables), strict=True))


def keras3_model(folder: str, trainable: bool) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), HubLayer(folder, trainable=trainable), keras.layers.Dense(2)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model


def keras2_model(folder: str, trainable: bool):
    hub = pytest.importorskip("tensorflow_hub")
    keras2 = pytest.importorskip("tf_keras")
    model = keras2.Sequential(
        [
            keras2.Input((16, 16, 3)),
            hub.KerasLayer(folder, trainable=trainable),
            keras2.layers.Dense(2),
        ]
    )
    loss = keras2.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras2.optimizers.legacy.SGD(0.01), loss)
    return model


def check_finetuning(make_model, folder: str, num_statistics: int) -> None:
    """The loss falls; weights and statistics change, and do not where the layer is frozen."""
    x, y = labelled()
    for trainable in (True, False):
        model = make_model(folder, trainable)
        layer = model.layers[0]
        weights = values(layer.trainable_weights), values(layer.non_trainable_weights)
        losses = model.fit(x, y, batch_size=16, epochs=4, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        if trainable:
            assert num_changed(weights[0], layer.trainable_weights) >= 0.9 * len(weights[0])
            assert len(weights[1]) == num_statistics
            assert num_changed(weights[1], layer.non_trainable_weights) == num_statistics
        else:
            assert not layer.trainable_weights
            assert num_changed(weights[1], layer.non_trainable_weights) == 0


def check_finetuning_by_hand(folder: str, num_statistics: int) -> None:
    """The same with `hub.load` and a loop of one's own."""
    hub = pytest.importorskip("tensorflow_hub")
    loaded = hub.load(folder)
    x, y = labelled()
    head = tf.Variable(tf.zeros([loaded(x).shape[1], 2]))
    trained = [*loaded.trainable_variables, head]
    ids = {id(v) for v in trained}
    statistics = [v for v in loaded.variables if id(v) not in ids]
    before = values(loaded.trainable_variables), values(statistics)
    losses = []
    for _ in range(4):
        with tf.GradientTape() as tape:
            logits = loaded(x, training=True) @ head
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
            )
        for variable, gradient in zip(trained, tape.gradient(loss, trained), strict=True):
            variable.assign_sub(0.01 * tf.convert_to_tensor(gradient))
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert num_changed(before[0], loaded.trainable_variables) >= 0.9 * len(before[0])
    assert len(statistics) == num_statistics == num_changed(before[1], statistics)


def test_resnet_finetunes_in_keras_3(resnet):
    check_finetuning(keras3_model, resnet.folder, num_statistics=18)


def test_resnet_finetunes_in_keras_2(resnet):
    check_finetuning(keras2_model, resnet.folder, num_statistics=18)


def test_resnet_finetunes_by_hub_load(resnet):
    check_finetuning_by_hand(resnet.folder, num_statistics=18)


@pytest.mark.slow
def test_vit_finetunes_everywhere(vit):
    check_finetuning(keras3_model, vit.folder, num_statistics=0)
    check_finetuning(keras2_model, vit.folder, num_statistics=0)
    check_finetuning_by_hand(vit.folder, num_statistics=0)


def test_the_layer_gives_the_runs_features_whatever_the_policy(resnet):
    batch = images(2, 16)
    expected = resnet.model.backbone(batch)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = HubLayer(resnet.folder)
        inputs = keras.Input((None, None, 3))
        model = keras.Model(inputs, layer(inputs))
        assert model.output.shape == (None, 64) and model.output.dtype == "float32"
        np.testing.assert_allclose(model(batch), expected, atol=1e-5)
    finally:
        keras.config.set_dtype_policy("float32")


def test_images_of_a_wrong_kind_are_told(vit_like):
    layer = HubLayer(vit_like)
    with pytest.raises(HubError, match=r"takes no inputs float32 \(1, 8, 8, 3\).*4, 4, 3"):
        layer(images(1, 8))


@pytest.fixture(scope="module")
def vit_like(tmp_path_factory) -> str:
    """A handmade SavedModel as others make them: one image size, two losses, no `training`."""
    root = tf.train.Checkpoint()
    root.w = tf.Variable(tf.fill([48, 2], 0.5), name="dense/kernel")
    root.count = tf.Variable(7, trainable=False, name="count")
    spec = tf.TensorSpec([None, 4, 4, 3], tf.float32)
    root.__call__ = tf.function(
        lambda x: {"pooled": tf.reshape(x, [-1, 48]) @ root.w}, input_signature=[spec]
    )
    root.variables = [root.w, root.count]
    root.trainable_variables = [root.w]
    root.regularization_losses = [
        tf.function(lambda: tf.reduce_sum(root.w), input_signature=[]),
        tf.function(lambda: 2.0 * tf.reduce_sum(root.w**2), input_signature=[]),
    ]
    folder = str(tmp_path_factory.mktemp("handmade"))
    tf.saved_model.save(root, folder)
    return folder


def test_regularisation_losses_count_once_and_only_when_trained(vit_like):
    layer = HubLayer(vit_like, trainable=True, output_key="pooled")
    layer(images(1, 4))
    layer(images(1, 4))
    assert [float(loss) for loss in layer.losses] == [48.0 + 2 * 24.0]
    layer.trainable_weights[0].assign(tf.zeros([48, 2]))
    assert [float(loss) for loss in layer.losses] == [0.0]
    assert HubLayer(vit_like, trainable=False).losses == []


def test_regularisation_losses_train(vit_like):
    inputs = keras.Input((4, 4, 3))
    layer = HubLayer(vit_like, trainable=True, output_key="pooled")
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.1), loss=lambda y, p: 0.0 * p)
    model.fit(images(4, 4), np.zeros((4, 2)), verbose=0)
    # d/dw (w + 2 w²) = 1 + 4 · 0.5
    np.testing.assert_allclose(layer.trainable_weights[0], 0.5 - 0.1 * 3, rtol=1e-6)


def test_outputs_by_name(vit_like):
    assert set(HubLayer(vit_like)(images(1, 4))) == {"pooled"}
    with pytest.raises(HubError, match=r"no output 'pool'.*\['pooled'\]"):
        HubLayer(vit_like, output_key="pool")(images(1, 4))


def test_what_cannot_be_trained_or_called_is_told(tmp_path):
    root = tf.train.Checkpoint()
    root.serve = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(root, str(tmp_path / "a"), signatures={"serving_default": root.serve})
    with pytest.raises(HubError, match=r"no __call__, only signatures \['serving_default'\]"):
        HubLayer(tmp_path / "a")
    root.__call__ = root.serve
    tf.saved_model.save(root, str(tmp_path / "b"))
    with pytest.raises(HubError, match="no trainable_variables"):
        HubLayer(tmp_path / "b", trainable=True)
    assert HubLayer(tmp_path / "b")(np.ones(2, np.float32)).shape == (2,)


@pytest.fixture
def trained(resnet, tmp_path):
    """A model on its own copy of the SavedModel, two steps trained, and its `.keras` file."""
    folder = tmp_path / "models" / "backbone"
    shutil.copytree(resnet.folder, folder)
    model = keras3_model(str(folder), trainable=True)
    x, y = labelled()
    model.fit(x, y, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    return model, folder


def test_a_keras_file_brings_back_weights_statistics_and_optimizer(trained, tmp_path):
    model, _ = trained
    again = keras.models.load_model(tmp_path / "model.keras")
    x, y = labelled()
    np.testing.assert_array_equal(again(x), model(x))
    assert num_changed(values(model.weights), again.weights) == 0
    assert int(again.optimizer.iterations) == 2
    for one in (model, again):
        one.fit(x, y, batch_size=16, verbose=0)
    np.testing.assert_allclose(again(x), model(x), atol=1e-5)


def test_a_moved_savedmodel_is_found_by_the_search_path(trained, tmp_path, monkeypatch):
    model, folder = trained
    (tmp_path / "elsewhere").mkdir()
    shutil.move(folder, tmp_path / "elsewhere" / "backbone")
    with pytest.raises(HubError, match=f"no SavedModel at.*{SEARCH_PATH}"):
        keras.models.load_model(tmp_path / "model.keras")
    monkeypatch.setenv(SEARCH_PATH, f"/nowhere:{tmp_path / 'elsewhere'}")
    x, _ = labelled()
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_another_savedmodel_in_its_place_is_refused(trained, tmp_path, vit_like):
    _, folder = trained
    shutil.rmtree(folder)
    shutil.copytree(vit_like, folder)
    with pytest.raises(HubError, match="holds another SavedModel"):
        keras.models.load_model(tmp_path / "model.keras")


def test_safe_mode_fetches_nothing(resnet, tmp_path, monkeypatch):
    fetched = []

    def fetch(handle: str) -> pathlib.Path:
        fetched.append(handle)
        return pathlib.Path(resnet.folder)

    monkeypatch.setattr("fine2coarse.hub.resolve._fetch_from_tf_hub", fetch)
    handle = "https://tfhub.dev/someone/backbone"
    model = keras.Sequential([keras.Input((16, 16, 3)), HubLayer(handle)])
    model.save(tmp_path / "model.keras")
    fetched.clear()
    with pytest.raises(HubError, match=r"safe mode forbids.*safe_mode=False"):
        keras.models.load_model(tmp_path / "model.keras")
    assert not fetched
    x, _ = labelled()
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    np.testing.assert_array_equal(again(x), model(x))
    assert fetched == [handle]
    shutil.copytree(resnet.folder, tmp_path / "here" / "backbone")
    monkeypatch.setenv(SEARCH_PATH, str(tmp_path / "here"))
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))
    assert fetched == [handle]


def test_checkpoints_hold_each_weight_once(trained, tmp_path, resnet):
    model, _ = trained
    layer, head = model.layers
    path = tf.train.Checkpoint(layer=layer, head=head).write(str(tmp_path / "checkpoint"))
    shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    assert sum(tuple(s) == (3, 3, 32, 64) for s in shapes.values()) == 1
    assert len(shapes) == len(model.weights) + 1  # and the object graph
    fresh = keras3_model(resnet.folder, trainable=True)
    x, _ = labelled()
    assert not np.allclose(fresh(x), model(x))
    layer, head = fresh.layers
    tf.train.Checkpoint(layer=layer, head=head).read(path).assert_consumed()
    np.testing.assert_array_equal(fresh(x), model(x))
    model.save_weights(tmp_path / "all.weights.h5")
    fresh = keras3_model(resnet.folder, trainable=True)
    fresh.load_weights(tmp_path / "all.weights.h5")
    np.testing.assert_array_equal(fresh(x), model(x))


def test_a_model_with_the_layer_can_itself_be_exported(trained, tmp_path):
    model, folder = trained
    x, _ = labelled()
    expected = model(x)
    model.export(tmp_path / "exported", verbose=False)
    shutil.rmtree(folder)
    again = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(again.serve(x), expected, atol=1e-6)


_TWO_DEVICES = """
import sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from fine2coarse.hub import HubLayer

folder, training, size = sys.argv[1], sys.argv[2] == "training", int(sys.argv[3])
x = np.random.default_rng(0).random((8, size, size, 3), np.float32)
x[4:] *= 0.3  # the replicas' batches differ in their statistics

def gradients(strategy):
    with strategy.scope():
        layer = HubLayer(folder, trainable=True, cross_replica_batch=training)
    def step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(images, training=training) ** 2)
        found = tape.gradient(loss, [w.value for w in layer.trainable_weights])
        found = [tf.convert_to_tensor(g) for g in found]  # those of embeddings are sparse
        return tf.distribute.get_replica_context().all_reduce("SUM", found)
    def values(context):
        size = 8 // strategy.num_replicas_in_sync
        begin = context.replica_id_in_sync_group * size
        return tf.constant(x[begin : begin + size])
    batch = strategy.experimental_distribute_values_from_function(values)
    result = tf.function(lambda b: strategy.run(step, args=(b,)))(batch)
    found = [strategy.experimental_local_results(g)[0].numpy() for g in result]
    return found, [keras.ops.convert_to_numpy(w) for w in layer.non_trainable_weights]

one, statistics = gradients(tf.distribute.OneDeviceStrategy("CPU:0"))
two, of_two = gradients(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
scale = max(np.abs(g).max() for g in one)
print(max(np.abs(a - b).max() for a, b in zip(one, two, strict=True)) / scale)
print(max([np.abs(a - b).max() for a, b in zip(statistics, of_two, strict=True)] or [0]))
"""


def _difference_of_two_devices(folder: str, mode: str, size_px: int) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", _TWO_DEVICES, folder, mode, str(size_px)],
        cwd=_ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [float(line) for line in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["inference", "training"])
def test_two_devices_give_the_gradients_of_one(resnet, mode):
    gradients, statistics = _difference_of_two_devices(resnet.folder, mode, 16)
    assert gradients < 1e-5 and statistics < 1e-6


@pytest.mark.slow
def test_two_devices_give_the_gradients_of_one_vit(vit):
    assert _difference_of_two_devices(vit.folder, "inference", 16)[0] < 1e-5
