"""What the input benchmark counts by itself: its bucket, its order, its tables."""

from __future__ import annotations

import json
import pathlib
import threading

import numpy as np
import pytest

from tests.processes import Process

_BENCHMARKS = pathlib.Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch):
    monkeypatch.syspath_prepend(str(_BENCHMARKS))


def test_a_request_takes_its_latency_and_its_bytes():
    import _input_bucket

    bucket = _input_bucket.Bucket(latency_seconds=0.02, bytes_per_second=1e6)
    request = bucket.wrap(lambda path, offset, size: b"x" * size)
    threads = [threading.Thread(target=request, args=("p", 0, 10_000)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    num_requests, num_bytes, seconds = bucket.counts()
    assert (num_requests, num_bytes, bucket.most_at_once) == (3, 30_000, 3)
    assert 3 * 0.03 <= seconds < 3  # 20 ms and 10 ms a request


def test_images_of_a_batch_that_are_alike():
    import _input_order

    found = _input_order.alike(np.array([[0, 0, 1, 2], [2, 1, 1, 1]]))
    # Of seven neighbours four are of one shard: 0-0, 2-2 and twice 1-1. Of six pairs in a batch,
    # one and three are.
    assert found["neighbours"] == pytest.approx(4 / 7)
    assert found["pairs_of_a_batch"] == pytest.approx((1 / 6 + 3 / 6) / 2)
    assert found["shards_of_a_batch"] == pytest.approx(2.5)


def test_a_stream_shows_every_image_once_a_pass():
    import _input_order

    split = _input_order.Split(num_shards=4, images_a_shard=96)
    rows = _input_order.stream_rows(split, batch_size=64, num_batches=6, seed=0)
    assert sorted(rows.ravel()) == list(range(4 * 96))
    shuffled = np.random.default_rng(0).permutation(4 * 96).reshape(6, 64)
    shards = _input_order.shards_of(split)
    stream, full = (_input_order.alike(shards[one]) for one in (rows, shuffled))
    assert stream["neighbours"] > full["neighbours"]


def test_what_a_host_reads_and_what_machines_need(capsys):
    import full_scale

    # 500 images in 1 s by 1.5 CPU seconds; of 2 cores, a quarter was idle and none taken.
    run = {"num_images": 500, "seconds": 1.0, "cpu_seconds": 1.5, "peak_bytes": 2**20}
    run |= {"first_batch_seconds": 2.0, "idle_cores": 0.5}
    other = run | {"num_images": 250}
    lock = {"disk": {"total_us": 12.0}}
    size = {"num_shards": 16, "mean_bytes": 9e4, "lock": lock}
    size |= {"sides": {"ours, disk": [run], "TFDS, best": [other]}}
    results = {"num_cores": 2, "date": "2026-01-01", "num_batches": 1, "batch_size": 500}
    results |= {"repeats": 1, "sizes": {"1000": size}}
    _, rows = full_scale.host(results, "1000", num_cores=96)
    assert rows[0][:2] == ["ours, disk", "24,000"]  # 500 / 1.5 images a core second × 75 % × 96
    needs = {(need.machine, need.backbone): need.images_per_second for need in full_scale.needs()}
    assert needs["8 × A100", "resnet50"] == 16_621
    # 197 TFLOPS × 40 % by 3 × 35.126 GFLOPs, eight times.
    assert needs["TPU v5e-8", "vit_b16"] == pytest.approx(8 * 197e12 * 0.4 / 105.378e9, rel=1e-4)
    full_scale.print_tables(results, 96, full_scale.markdown)
    printed = capsys.readouterr().out
    assert "| TFDS, best | 250 | 167 | 1.50 | 75% | 1 | 2.0 | 2.00 (2.00 to 2.00) | |" in printed
    assert "| 8 × A100 | resnet50 | 16,621 | 66.5 | 1.44 |" in printed


def test_the_program_says_what_it_takes(tmp_path):
    process = Process(_BENCHMARKS / "input.py", ["--help"], {}, folder=tmp_path)
    out, _ = process.communicate(60)
    assert process.returncode == 0 and "--part" in out and "--num_images" in out


@pytest.mark.slow
def test_a_small_run(tmp_path):
    from tests.datasets import fakes

    fakes.whole_tar(tmp_path, fakes.small_files(60))
    small = ["--num_images=64", "--num_batches=2", "--warm_up_batches=1", "--repeats=1"]
    small += ["--num_tune_batches=0", "--storages=memory", f"--out={tmp_path / 'out.json'}"]
    archive = f"--archive={tmp_path / 'fall11_whole.tar'}"
    process = Process(_BENCHMARKS / "input.py", [archive, *small], {}, folder=tmp_path)
    out, errors = process.communicate(300)
    assert process.returncode == 0, errors
    assert "ours, memory / TFDS, best" in out
    [size] = json.loads((tmp_path / "out.json").read_text("utf-8"))["sizes"].values()
    assert {run["num_images"] for runs in size["sides"].values() for run in runs} == {128}
