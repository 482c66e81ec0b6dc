"""Images of a study on the devices, and from packs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from fine2coarse.datasets.open import open_dataset
from fine2coarse.errors import UsageError
from fine2coarse.input.examples import MAX_DECODED_BYTES
from fine2coarse.packs.images import PackedImages
from fine2coarse.recipes.recipe import DatasetSpec
from fine2coarse.studies.open_study import open_study
from fine2coarse.studies.run_phases import baseline_run
from fine2coarse.studies.storage import DeviceSpace, open_examples
from tests.packs.conftest import photographs

__all__ = ["photographs"]
_TRAIN_BYTES = 6 * 6 * 9 * 3  # of `even`


@dataclasses.dataclass
class Devices:
    """What an engine tells of its devices."""

    is_accelerator: bool
    device_budget_bytes: int | None


@pytest.fixture(scope="module")
def places(photographs, tmp_path_factory) -> dict:
    """Photographs of one size and of several, as prepared and as packed."""
    out, found = tmp_path_factory.mktemp("packs"), {}
    for name in ("even", "mixed"):
        recipe = photographs.recipe(name, crop="inception")
        options = recipe.dataset.options
        found[name] = open_dataset("folder", options, photographs.data_dir)
        found[f"{name} pack"] = photographs.pack(out / name, recipe).dataset("dataset")
    return found


def opened(dataset, wanted: str, devices: Devices | None = None):
    spec = DatasetSpec("folder", storage=wanted)
    return open_examples(dataset, "train", spec, DeviceSpace(devices))


def test_room_on_the_devices_is_taken_once():
    space = DeviceSpace(Devices(True, 10))
    assert space.take(6) and not space.take(5) and space.take(4) and space.free_bytes == 0
    assert DeviceSpace().free_bytes == MAX_DECODED_BYTES and not DeviceSpace().is_accelerator
    assert DeviceSpace(Devices(True, None)).free_bytes == MAX_DECODED_BYTES


@pytest.mark.parametrize("name", ["even", "even pack"])
def test_equal_images_lie_on_the_devices(places, name):
    found = opened(places[name], "device")
    assert found.on_device and found.images.shape == (6, 6, 9, 3)
    assert np.array_equal(found.images, places["even pack"].images("train"))
    assert found.subset(np.arange(6) < 2).on_device
    assert opened(places[name], "device", Devices(True, _TRAIN_BYTES)).on_device


@pytest.mark.parametrize("name", ["mixed", "mixed pack"])
def test_others_cannot(places, name):
    with pytest.raises(UsageError, match=r"of several sizes.*pack --pixels=squares --size_px=N"):
        opened(places[name], "device")


@pytest.mark.parametrize("name", ["even", "even pack"])
def test_nor_can_too_many(places, name):
    with pytest.raises(UsageError, match=r"do not fit on the devices.*storage=auto"):
        opened(places[name], "device", Devices(True, 100))
    with pytest.raises(UsageError, match=r"they take 972 B, and 971 B are free"):
        opened(places[name], "device", Devices(True, _TRAIN_BYTES - 1))


def test_auto_takes_them_where_there_are_any_for_a_pack_alone(places):
    pack = places["even pack"]
    assert opened(pack, "auto", Devices(True, _TRAIN_BYTES)).on_device
    assert not opened(pack, "auto", Devices(True, _TRAIN_BYTES - 1)).on_device
    assert not opened(pack, "auto", Devices(False, None)).on_device
    assert not opened(pack, "auto").on_device
    assert not opened(places["even"], "auto", Devices(True, _TRAIN_BYTES)).on_device


@pytest.mark.parametrize("name", ["mixed", "mixed pack"])
def test_auto_leaves_images_of_several_sizes(places, name):
    assert not opened(places[name], "auto", Devices(True, 10**9)).on_device


def test_a_pack_is_mapped_or_read(places, told):
    pack = places["even pack"]
    for wanted, is_mapped in (("auto", True), ("disk", True), ("memory", False)):
        found = opened(pack, wanted)
        assert np.shares_memory(found.images, pack.images("train")) is False
        assert found.images.flags.owndata is not is_mapped
        assert ("memory-mapped" in told()[-1]) is is_mapped
    mixed = opened(places["mixed pack"], "memory").images
    assert isinstance(mixed, PackedImages) and mixed.data.flags.owndata
    with pytest.raises(UsageError, match=r"has no shards to read in sequence.*storage=auto"):
        opened(pack, "stream")


def test_room_is_shared_by_the_splits_of_a_study(photographs, places):
    pack, recipe = places["even pack"].pack, photographs.recipe("even")
    for budget, on_device in ((_TRAIN_BYTES * 3 // 2, True), (_TRAIN_BYTES * 3 // 2 - 1, False)):
        devices = Devices(True, budget)
        data = open_study(recipe, "nowhere", packed=str(pack.folder), devices=devices)
        assert data.evaluate.on_device and data.train.on_device is on_device


@pytest.mark.parametrize(("name", "noted"), [("even", {}), ("mixed", "squares 8 px")])
def test_changed_pixels_are_part_of_a_run(photographs, tmp_path, name, noted):
    recipe = photographs.recipe(name)
    photographs.pack(tmp_path / "pack", recipe)
    packed = open_study(recipe, "nowhere", packed=str(tmp_path / "pack"))
    prepared = open_study(recipe, photographs.data_dir)
    ours, theirs = (baseline_run(recipe, 0, data).own_recipe() for data in (packed, prepared))
    assert ours == theirs | ({"packed_pixels": noted} if noted else {})


def test_the_study_of_a_pack_has_the_same_data(photographs, places):
    recipe = photographs.recipe("even")
    packed = open_study(recipe, "nowhere", packed=str(places["even pack"].pack.folder))
    prepared = open_study(recipe, photographs.data_dir)
    assert packed.facts == json.loads(json.dumps(prepared.facts)) and packed.name == prepared.name
    assert packed.target.fingerprint == prepared.target.fingerprint
    assert packed.spaces["fine", 0].fingerprint == prepared.spaces["fine", 0].fingerprint
    for ours, theirs in ((packed.train, prepared.train), (packed.evaluate, prepared.evaluate)):
        assert np.array_equal(ours.images, theirs.images) and ours.image_ids == theirs.image_ids


def test_levels_and_files_are_checked_before_images_are(photographs, places):
    label = {"source": "clusters", "options": {"embeddings": "none.npy", "num_clusters": 2}}
    recipe = photographs.recipe("even", arms={"mine": label})
    with pytest.raises(UsageError, match=r"arm 'mine': embeddings=none.npy.*fine2coarse embed"):
        open_study(recipe, "nowhere", packed=str(places["even pack"].pack.folder))
