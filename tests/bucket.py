"""A bucket in process: addresses `gs://bucket/…` lead to a local folder through `tf.io.gfile`.

TensorFlow's C++ part knows nothing of it: what reads by `tf.data.TFRecordDataset` fails there.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from unittest import mock

import tensorflow as tf

BUCKET = "gs://bucket"
_ONE_PATH = ("exists", "glob", "isdir", "listdir", "makedirs", "mkdir", "remove", "rmtree", "stat")
_TWO_PATHS = ("copy", "rename")


@contextlib.contextmanager
def bucket_at(folder: pathlib.Path) -> Iterator[str]:
    """Lets `gs://bucket` be a local folder; yields that address."""

    def local(path: object) -> str:
        return str(path).replace(BUCKET, str(folder), 1)

    def remote(path: str) -> str:
        return path.replace(str(folder), BUCKET, 1)

    def one(function):
        def call(path, *args, **kwargs):
            found = function(local(path), *args, **kwargs)
            return [remote(name) for name in found] if isinstance(found, list) else found

        return call

    def two(function):
        return lambda a, b, *args, **kwargs: function(local(a), local(b), *args, **kwargs)

    class GFile(tf.io.gfile.GFile):
        def __init__(self, name, mode="r") -> None:
            super().__init__(local(name), mode)

    with contextlib.ExitStack() as stack:
        for name in _ONE_PATH:
            patched = one(getattr(tf.io.gfile, name))
            stack.enter_context(mock.patch.object(tf.io.gfile, name, patched))
        for name in _TWO_PATHS:
            patched = two(getattr(tf.io.gfile, name))
            stack.enter_context(mock.patch.object(tf.io.gfile, name, patched))
        stack.enter_context(mock.patch.object(tf.io.gfile, "GFile", GFile))
        yield BUCKET
