"""Keras' global settings are ours, whatever a user's keras.json or variables say."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

from fine2coarse import keras_settings

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_USERS = {
    "backend": "jax",
    "image_data_format": "channels_first",
    "floatx": "float16",
    "epsilon": 1e-3,
    "nnx_enabled": True,
}
_PROGRAM = """
from fine2coarse.models import BackboneSpec, Classifier
import keras
model = Classifier(BackboneSpec("resnet_tiny", 32), 32, seed=0)
print(model.count_params(), keras.config.backend(), keras.config.image_data_format(),
      keras.config.floatx(), keras.config.epsilon(), keras.config.dtype_policy().name)
"""


@pytest.fixture
def settings_restored():
    """Whatever a test sets, the next one finds ours."""
    policy = keras.config.dtype_policy().name
    yield
    keras.config.set_dtype_policy(policy)
    keras_settings.pin()


@pytest.mark.slow
def test_a_users_keras_json_changes_nothing(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps(_USERS), encoding="utf-8")
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("KERAS_BACKEND", None)
    shown = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    parameters = "80144"  # with channels_first the same code gives another network: 83316
    expected = [parameters, "tensorflow", "channels_last", "float32", "1e-07", "float32"]
    assert shown.stdout.split() == expected


def test_pin_sets_all_and_a_layer_follows(settings_restored):
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(1e-3)
    keras.config.set_dtype_policy("float16")
    keras_settings.pin()
    config = keras.config
    assert (config.image_data_format(), config.floatx(), config.epsilon()) == (
        "channels_last",
        "float32",
        1e-7,
    )
    layer = keras.layers.Conv2D(1, 1)
    assert (layer.data_format, layer.compute_dtype) == ("channels_last", "float32")


def test_a_policy_of_the_caller_stays(settings_restored):
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras_settings.pin()
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_another_backend_is_refused_before_keras_is_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(
        keras_settings.KerasSettingsError,
        match=r"KERAS_BACKEND is 'torch'.*: unset KERAS_BACKEND, or set KERAS_BACKEND=tensorflow",
    ):
        keras_settings.check_backend()
    # The remedies work.
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    keras_settings.check_backend()
    monkeypatch.delenv("KERAS_BACKEND")
    keras_settings.check_backend()


def test_keras_running_on_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    told = "imported with its backend 'torch'"
    with pytest.raises(keras_settings.KerasSettingsError, match=told):
        keras_settings.pin()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    keras_settings.check_backend()


def test_a_backend_is_chosen_before_keras_is_imported_and_not_after(monkeypatch):
    running, other = sorted(
        keras_settings.BACKENDS, key=lambda name: name != keras.backend.backend()
    )
    keras_settings.choose_backend(running)
    with pytest.raises(keras_settings.KerasSettingsError, match=f"KERAS_BACKEND={other}"):
        keras_settings.choose_backend(other)
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    keras_settings.choose_backend(other)
    assert os.environ["KERAS_BACKEND"] == other
    with pytest.raises(keras_settings.KerasSettingsError, match=r"one of .*, got 'torch'"):
        keras_settings.choose_backend("torch")


def test_jax_is_the_backend_where_it_alone_is_installed(monkeypatch):
    there = {"jax"}
    monkeypatch.delitem(sys.modules, "tensorflow")
    monkeypatch.setattr(
        keras_settings.importlib.util, "find_spec", lambda name: name in there or None
    )
    assert keras_settings.default_backend() == "jax"
    there.add("tensorflow")
    assert keras_settings.default_backend() == "tensorflow"
    there.clear()
    assert keras_settings.default_backend() == "tensorflow"


@pytest.mark.parametrize("named", [None, ""])
def test_tensorflow_is_preferred_where_no_backend_is_named(monkeypatch, named):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if named is not None:
        monkeypatch.setenv("KERAS_BACKEND", named)
    keras_settings.prefer_default_backend()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_a_named_backend_is_not_replaced(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras_settings.prefer_default_backend()
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_a_keras_json_that_keras_refuses_is_named(monkeypatch, tmp_path):
    class Refusing:
        def find_spec(self, name, path=None, target=None):
            if name == "keras":
                raise ValueError("Invalid `epsilon` configuration. Received: epsilon=1")

    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(keras_settings.KerasSettingsError) as told:
        keras_settings.pin()
    assert f"{tmp_path}/keras.json (Invalid `epsilon`" in str(told.value)
    assert "correct that entry, or delete the file" in str(told.value)
