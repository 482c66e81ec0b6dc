"""Preparations that are stopped at any point, and disks that fill."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import pytest
import tensorflow_datasets as tfds

from fine2coarse import files
from fine2coarse.datasets import imagenet21k  # noqa: F401 (registers the builder)
from fine2coarse.datasets.leveled import LeveledBuilder, PreparationError, PrepareConfig
from fine2coarse.preparation import engine as preparation_module
from fine2coarse.preparation import pool, spill
from tests.datasets import fakes
from tests.processes import Process

_ROOT = pathlib.Path(__file__).resolve().parents[2]


class Stopped(BaseException):
    """Ends a run the way a kill does: nothing that runs afterwards may rely on being told."""


def prepare(manual_dir, data_dir, **settings):
    settings = {"num_validation": 3, "num_shards": 3, **settings}
    builder = tfds.builder("imagenet21k", data_dir=data_dir)
    builder.download_and_prepare(download_config=PrepareConfig(manual_dir=manual_dir, **settings))
    return builder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    fakes.whole_tar(folder / "manual", fakes.small_files(4))
    builder = prepare(folder / "manual", folder / "data")
    return folder / "manual", fakes.content_of(builder.data_dir)


def stop_after(monkeypatch, target, name: str, num_calls: int) -> None:
    """Has the call number `num_calls` of a function write half a file and stop."""
    original = getattr(target, name)
    calls = iter(range(num_calls))

    def wrapped(*args, **kwargs):
        if next(calls, None) is None:
            if name == "replacing":
                path = args[0]
                path.with_name(files.partial_name(path.name)).write_bytes(b"half")
            raise Stopped
        return original(*args, **kwargs)

    monkeypatch.setattr(target, name, wrapped)


@pytest.mark.parametrize(
    ("target", "name", "num_calls"),
    [
        # Of the 18 files that are written: identity, spills, scan, contents, source, reports.
        *((files, "replacing", n) for n in (0, 1, 2, 7, 8, 9, 10, 12, 13, 14, 17)),
        *((preparation_module, "write_shard", n) for n in range(5)),
        (preparation_module.preparation_report, "write_preparation_report", 0),
        (tfds.core.DatasetInfo, "write_to_directory", 0),
        (LeveledBuilder, "_log_download_done", 0),
    ],
)
def test_stopped_anywhere_the_result_is_the_same(
    uninterrupted, tmp_path, monkeypatch, target, name, num_calls
):
    manual, expected = uninterrupted
    stop_after(monkeypatch, target, name, num_calls)
    with pytest.raises(Stopped):
        prepare(manual, tmp_path)
    monkeypatch.undo()
    builder = prepare(manual, tmp_path)
    assert fakes.content_of(builder.data_dir) == expected
    left = {path.name for path in pathlib.Path(builder.data_dir).parent.iterdir()}
    assert left == {"2.0.0"}


def test_finished_work_is_not_done_again(uninterrupted, tmp_path, monkeypatch):
    manual, _ = uninterrupted
    stop_after(monkeypatch, files, "replacing", 8)  # the index of the fourth unit
    with pytest.raises(Stopped):
        prepare(manual, tmp_path)
    monkeypatch.undo()
    checked = []
    original = spill.check_image
    monkeypatch.setattr(spill, "check_image", lambda data: checked.append(1) or original(data))
    prepare(manual, tmp_path)
    assert len(checked) == 4


def test_what_a_killed_run_had_moved_is_taken_back(uninterrupted, tmp_path, monkeypatch):
    """Killed between our last step and TFDS's: the shards lie in TFDS's own temporary folder."""
    manual, expected = uninterrupted
    stop_after(monkeypatch, tfds.core.DatasetInfo, "write_to_directory", 0)
    kept = tmp_path / "kept"
    names = []
    original = LeveledBuilder._download_and_prepare

    def keep(self, *args, **kwargs):
        original(self, *args, **kwargs)
        names.append(self.data_path.name)
        shutil.copytree(self.data_dir, kept)  # TFDS removes it on an exception, not on a kill

    monkeypatch.setattr(LeveledBuilder, "_download_and_prepare", keep)
    with pytest.raises(Stopped):
        prepare(manual, tmp_path)
    monkeypatch.undo()
    kept.rename(tmp_path / "imagenet21k" / "level0" / names[0])
    monkeypatch.setattr(pool.TaskPool, "run", lambda *args: list(args[2]) and pytest.fail("again"))
    builder = prepare(manual, tmp_path)
    assert fakes.content_of(builder.data_dir) == expected


def test_two_preparations_at_once_are_refused(uninterrupted, tmp_path):
    manual, _ = uninterrupted
    staging = tmp_path / "imagenet21k" / "level0" / "2.0.0.preparing"
    staging.mkdir(parents=True)
    with (
        preparation_module._locked(staging),
        pytest.raises(PreparationError, match="another process is preparing"),
    ):
        prepare(manual, tmp_path)


def test_workers_change_nothing(uninterrupted, tmp_path):
    manual, expected = uninterrupted
    assert fakes.content_of(prepare(manual, tmp_path, num_workers=2).data_dir) == expected


def lossy_beam(function, tasks, beam_options) -> None:
    """A runner that loses every second task without a word, as Beam's DirectRunner can."""
    for number, task in enumerate(tasks):
        if number % 2 == 0:
            function(task)


def test_a_runner_that_loses_work_is_found_out(uninterrupted, tmp_path, monkeypatch):
    manual, expected = uninterrupted
    monkeypatch.setattr(pool, "run_tasks_with_beam", lossy_beam)
    errors = []
    for _ in range(10):
        try:
            builder = prepare(manual, tmp_path, use_beam=True)
            break
        except PreparationError as error:
            errors.append(str(error))
    assert errors[0].startswith("2 units were not written")  # of four
    assert any(" shards were not written" in error for error in errors)
    assert fakes.content_of(builder.data_dir) == expected


def test_beam_cannot_share_a_gzip_stream(tmp_path):
    fakes.whole_tar(tmp_path / "manual", fakes.small_files(2), gzipped=True)
    with pytest.raises(PreparationError, match="cannot share a compressed archive; decompress"):
        prepare(tmp_path / "manual", tmp_path / "data", use_beam=True)


@pytest.mark.slow
def test_beams_own_runner_gives_the_same(uninterrupted, tmp_path):
    pipeline_options = pytest.importorskip("apache_beam.options.pipeline_options")
    manual, expected = uninterrupted
    flags = ["--runner=DirectRunner", "--direct_num_workers=2"]
    options = pipeline_options.PipelineOptions([*flags, "--direct_running_mode=multi_processing"])
    builder = prepare(manual, tmp_path, use_beam=True, beam_options=options)
    assert fakes.content_of(builder.data_dir) == expected


def test_a_small_disk_is_refused_before_any_work(uninterrupted, tmp_path, monkeypatch):
    manual, _ = uninterrupted
    monkeypatch.setattr(preparation_module, "disk_free", lambda folder: 1000)
    with pytest.raises(PreparationError, match=r"about .* kB more are needed.* 1\.0 kB are free"):
        prepare(manual, tmp_path)
    assert not list(tmp_path.rglob("*.examples"))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 KiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize("num_workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("filler_kib", [200, 60])
def test_a_disk_that_fills(uninterrupted, small_disk, tmp_path, filler_kib, num_workers):
    """Stops with what is needed and what is free; goes on after space is made."""
    manual, expected = uninterrupted
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * filler_kib * 1024)
    with pytest.raises(PreparationError, match=r"the disk is full: .*are free.* Make space"):
        prepare(manual, small_disk / "data", check_disk_space=False, num_workers=num_workers)
    filler.unlink()
    big = tmp_path / "enough"
    shutil.move(small_disk / "data", big)  # space is made
    assert fakes.content_of(prepare(manual, big).data_dir) == expected


def launch(manual: pathlib.Path, data: pathlib.Path, *flags: str) -> Process:
    arguments = ["--dataset=imagenet21k/present_level0", f"--manual_dir={manual}"]
    arguments += [f"--data_dir={data}", *flags]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    return Process(pathlib.Path("launch/prepare.py"), arguments, environment, merged=True)


@pytest.mark.slow
def test_killed_at_ten_random_moments(shared_data, tmp_path):
    """SIGKILL, of the parent process alone, with one and two workers."""
    manual = shared_data / "imagenet21k_mini"
    whole = launch(manual, tmp_path / "whole")
    assert whole.wait() == 0, whole.communicate()[0]
    expected = fakes.content_of(tmp_path / "whole/imagenet21k")
    random_seconds = random.Random(7)
    killed = 0
    for attempt in range(40):
        if killed == 10:
            break
        lock = tmp_path / "killed/imagenet21k/present_level0/2.0.0.preparing/lock"
        before = lock.stat().st_mtime_ns if lock.exists() else None
        process = launch(manual, tmp_path / "killed", f"--num_workers={1 + attempt % 2}")
        while process.poll() is None and not (lock.exists() and lock.stat().st_mtime_ns != before):
            time.sleep(0.02)  # until the work begins
        try:
            process.wait(timeout=random_seconds.uniform(0, 2.5))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            continue
        assert process.returncode == 0, process.communicate()[0]
        shutil.rmtree(tmp_path / "killed")  # it was done sooner: begin anew
    assert killed == 10
    last = launch(manual, tmp_path / "killed")
    assert last.wait() == 0, last.communicate()[0]
    assert fakes.content_of(tmp_path / "killed/imagenet21k") == expected
