"""Which file a preparation was at, told after its process died in whatever way."""

from __future__ import annotations

import concurrent.futures.process
import multiprocessing
import os
import signal

import pytest
import tensorflow_datasets as tfds
from etils import epath

import fine2coarse.datasets.imagenet21k  # noqa: F401 - registers it with TFDS
from fine2coarse.archives.last_file import LastFile, take_notes
from fine2coarse.datasets.leveled import PreparationError, PrepareConfig
from fine2coarse.preparation import pool
from tests.datasets import fakes


def die_at(folder: str, name: str) -> None:
    with LastFile(epath.Path(folder)) as last_file:
        last_file.note("a much longer name than the one that follows")
        last_file.note(name)
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_name_outlives_a_kill(tmp_path):
    process = multiprocessing.get_context("spawn").Process(
        target=die_at, args=(str(tmp_path), "train/Äpfel/9.jpg")
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert take_notes(epath.Path(tmp_path)) == ["train/Äpfel/9.jpg"]
    assert take_notes(epath.Path(tmp_path)) == []


def test_nothing_is_left_where_all_went_well_or_python_failed(tmp_path):
    with pytest.raises(KeyError), LastFile(epath.Path(tmp_path)) as last_file:
        last_file.note("a.jpg")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def prepare(manual, data_dir, **settings):
    builder = tfds.builder("imagenet21k/present_level0", data_dir=data_dir)
    config = PrepareConfig(manual_dir=manual, num_validation=1, **settings)
    builder.download_and_prepare(download_config=config)


def test_a_worker_that_died_and_the_next_start_name_the_file(tmp_path, monkeypatch, told):
    fakes.whole_tar(tmp_path / "in", fakes.small_files(2))
    data = tmp_path / "data"

    def die(self, function, tasks, on_done):
        spills = next(data.rglob("spills"))
        (spills / "host-1.last_file").write_bytes(b"n02084071.tar/bad.JPEG".ljust(4096, b"\0"))
        raise concurrent.futures.process.BrokenProcessPool

    monkeypatch.setattr(pool.TaskPool, "run", die)
    with pytest.raises(PreparationError, match=r"workers were reading n02084071.tar/bad.JPEG"):
        prepare(tmp_path / "in", data)
    monkeypatch.undo()
    (next(data.rglob("spills")) / "host-2.last_file").write_bytes(b"n02084071.tar/worse.JPEG")
    prepare(tmp_path / "in", data)
    assert "ended while reading n02084071.tar/worse.JPEG" in "\n".join(told())
