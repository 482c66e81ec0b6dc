"""Loading SavedModels of feature vectors: by folder, TF Hub handle or Kaggle handle.

In: a handle. Out: a Keras 3 layer or backbone that trains. Start with `resolve.py`. Names are
imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

from fine2coarse import keras_settings

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras

_HOME = {
    "HubLayer": "fine2coarse.hub.layer",
    "HubError": "fine2coarse.hub.resolve",
    "SavedModelBackbone": "fine2coarse.hub.backbone",
    "resolve": "fine2coarse.hub.resolve",
}

__all__ = ["HubError", "HubLayer", "SavedModelBackbone", "resolve"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "HubLayer":
        from fine2coarse.hub.backbone import check_on_tensorflow

        check_on_tensorflow()
    return getattr(importlib.import_module(_HOME[name]), name)
