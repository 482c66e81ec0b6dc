"""One process prepares a dataset, and all others that want it wait."""

from __future__ import annotations

import os
import threading

import pytest

from fine2coarse.claims import AlreadyHeld, Claims
from fine2coarse.datasets import open as open_module
from fine2coarse.datasets.preparation_claim import (
    claim_name,
    first_to_prepare,
    only_to_prepare,
)


def test_the_claim_of_prepared_data_is_that_of_what_is_prepared():
    assert claim_name("imagenet21k", {}) == claim_name(
        "imagenet21k", {"leaves": "all", "manual_dir": "x"}
    )
    assert claim_name("imagenet21k", {}) != claim_name("imagenet21k", {"leaves": "present"})
    assert claim_name("inat2021", {"num_workers": 3}) == claim_name("inat2021", {})
    assert claim_name("folder", {"source": "a"}) != claim_name("folder", {"source": "b"})


def test_one_that_waits_says_for_whom_and_then_goes_on(tmp_path):
    told, order, waits = [], [], threading.Event()

    def announce(line: str) -> None:
        told.append(line)
        waits.set()

    def second() -> None:
        with first_to_prepare(str(tmp_path), "demo", {}, announce):
            order.append("second")

    thread = threading.Thread(target=second, daemon=True)
    with first_to_prepare(str(tmp_path), "demo", {}, announce):
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert len(told) == 1
    assert f"process {os.getpid()}), which prepares dataset 'demo'" in told[0]


def test_what_an_earlier_session_prepared_is_looked_at_again_one_after_the_other(tmp_path):
    with first_to_prepare(str(tmp_path), "demo", {}, print):
        pass
    later = Claims(tmp_path / "claims")
    later._started += 5  # it began well after that
    with later.first(claim_name("demo", {})):
        assert later.holder(claim_name("demo", {}))  # so it holds the claim itself


def test_remote_folders_have_no_claims():
    with first_to_prepare("gs://bucket/data", "demo", {}, print):
        pass


def test_preparing_on_purpose_is_refused_while_another_does(tmp_path):
    with (
        only_to_prepare(str(tmp_path), "inat2021", {}),
        pytest.raises(AlreadyHeld, match=f"inat2021 in .* process {os.getpid()}"),
        only_to_prepare(str(tmp_path), "inat2021", {"num_workers": 3}),
    ):
        pass
    with only_to_prepare("gs://bucket/data", "inat2021", {}) as claim:
        assert claim is None


def test_a_dataset_is_opened_under_the_claim_and_looked_at_by_one_process(tmp_path, monkeypatch):
    claims, seen = Claims(tmp_path / "claims"), []

    class Dataset:
        @property
        def contents(self):
            seen.append(claims.holder(claim_name("demo", {})))

    monkeypatch.setattr(open_module, "open_dataset", lambda *given, **options: Dataset())
    open_module.open_prepared("demo", {}, str(tmp_path))
    assert len(seen) == 1 and f"process {os.getpid()}" in seen[0]
    open_module.open_prepared("demo", {}, str(tmp_path), prepare=False)
    assert len(seen) == 1, "prepared data alone is neither claimed nor read"


def test_prepared_data_alone(tmp_path):
    with pytest.raises(open_module.NotPreparedError, match="demo is not prepared: there is no"):
        open_module.open_prepared("demo", {}, str(tmp_path), prepare=False)
    assert not list(tmp_path.iterdir())
