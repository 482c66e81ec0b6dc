"""From handles to folders: local, moved, TF Hub's and Kaggle's (whose servers are stood in for)."""

from __future__ import annotations

import shutil
import sys
import types

import numpy as np
import pytest

from fine2coarse.hub.layer import HubLayer
from fine2coarse.hub.resolve import HubError, fingerprint_of_folder, kaggle_handle, resolve
from tests.exported_runs import images


@pytest.mark.parametrize(
    ("handle", "expected"),
    [
        ("google/resnet-v1/tensorFlow2/50-feature-vector/1",) * 2,
        ("google/resnet-v1/tensorFlow2/50-feature-vector",) * 2,
        ("kaggle://google/resnet-v1/tensorFlow2/50/1", "google/resnet-v1/tensorFlow2/50/1"),
        (
            "https://www.kaggle.com/models/google/resnet-v1/frameworks/tensorFlow2/variations/"
            "50-feature-vector/versions/2",
            "google/resnet-v1/tensorFlow2/50-feature-vector/2",
        ),
        ("https://tfhub.dev/google/imagenet/resnet_v1_50/feature_vector/5", None),
        ("runs/fine", None),
        ("/runs/demo/fine/seed/0", None),
    ],
)
def test_which_handles_are_kaggles(handle, expected):
    assert kaggle_handle(handle) == expected


def test_a_kaggle_handle_goes_to_kagglehub(resnet, monkeypatch):
    asked = []

    def model_download(handle: str) -> str:
        asked.append(handle)
        return resnet.folder

    monkeypatch.setitem(
        sys.modules, "kagglehub", types.SimpleNamespace(model_download=model_download)
    )
    layer = HubLayer("google/resnet-v1/tensorFlow2/50-feature-vector/1")
    assert asked == ["google/resnet-v1/tensorFlow2/50-feature-vector/1"]
    np.testing.assert_allclose(
        layer(images(2, 16)), resnet.model.backbone(images(2, 16)), atol=1e-5
    )


def test_a_url_goes_to_tf_hub(resnet, monkeypatch):
    """TF Hub's own machinery runs; one of its resolvers is replaced."""
    tensorflow_hub = pytest.importorskip("tensorflow_hub")
    from tensorflow_hub import registry

    class Fake(tensorflow_hub.resolver.Resolver):
        def is_supported(self, handle):
            return handle == "https://tfhub.dev/fine2coarse/resnet_tiny/1"

        def __call__(self, handle):
            return resnet.folder

    monkeypatch.setattr(registry.resolver, "_impls", [*registry.resolver._impls, Fake()])
    handle = "https://tfhub.dev/fine2coarse/resnet_tiny/1"
    assert str(resolve(handle)) == resnet.folder
    assert HubLayer(handle).get_config()["handle"] == handle


def test_the_archive_form_is_fetched_by_tf_hub(classifier, tmp_path, monkeypatch):
    """The .tar.gz over HTTP from this machine, as TF Hub's own resolver reads it."""
    pytest.importorskip("tensorflow_hub")
    import functools
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_GET(self):
            self.path = self.path.split("?")[0]  # TF Hub adds ?tf-hub-format=compressed
            super().do_GET()

    handler = functools.partial(Quiet, directory=str(classifier.exported.archive.parent))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{classifier.exported.archive.name}"
        folder = resolve(url)
        server.shutdown()
    assert fingerprint_of_folder(folder) == fingerprint_of_folder(classifier.exported.folder)
    assert (folder / "README.md").is_file()


def test_what_cannot_be_fetched_is_told(monkeypatch):
    def model_download(handle: str) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setitem(
        sys.modules, "kagglehub", types.SimpleNamespace(model_download=model_download)
    )
    with pytest.raises(HubError, match="as a Kaggle handle it could not be fetched: no route"):
        resolve("google/resnet-v1/tensorFlow2/50")
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(HubError, match="pip install kagglehub"):
        resolve("google/resnet-v1/tensorFlow2/50")
    with pytest.raises(HubError, match=r"TF Hub handle 'http://127.0.0.1:1/x'.*not be fetched"):
        resolve("http://127.0.0.1:1/x")
    with pytest.raises(HubError, match=r"expected a folder with a saved_model\.pb"):
        resolve("nothing/here")


def test_a_relative_folder_of_four_parts_is_a_folder_first(resnet, tmp_path, monkeypatch):
    shutil.copytree(resnet.folder, tmp_path / "a" / "b" / "c" / "d")
    monkeypatch.chdir(tmp_path)
    assert str(resolve("a/b/c/d")) == "a/b/c/d"
