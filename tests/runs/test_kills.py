"""SIGKILL at random moments and SIGTERM: the run ends as one that nobody disturbed."""

from __future__ import annotations

import json
import pathlib
import random
import signal
import subprocess
import time

import numpy as np
import pytest

from fine2coarse.files import is_partial
from fine2coarse.training.checkpoints import BEST, BEST_SCORE
from fine2coarse.training.engine import is_on_jax
from tests.input.test_stored import jpegs, write_shards
from tests.processes import start, start_workers

pytestmark = pytest.mark.both_backends

_PROGRAM = pathlib.Path(__file__).with_name("killable.py")


def run_once(settings: dict) -> tuple[int, str]:
    process = start(_PROGRAM, settings)
    out, errors = process.communicate(timeout=900)
    assert process.returncode in (0, 75, -signal.SIGKILL), errors[-3000:]
    return process.returncode, out


def run_workers(settings: list[dict]) -> list[int]:
    """Runs two workers; where one dies the other, which would wait for it, is killed too."""
    both = start_workers(_PROGRAM, settings)
    codes = []
    for process in both:
        try:
            process.communicate(timeout=2 if any(codes) else 600)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        codes.append(process.returncode)
    return codes


def weights(folder: pathlib.Path, num_steps: int = 60) -> dict[str, np.ndarray]:
    with np.load(folder / "checkpoints" / f"step-{num_steps}.npz") as arrays:
        return {name: arrays[name] for name in arrays.files if name != "meta"}


def assert_identical(ours: pathlib.Path, theirs: pathlib.Path, num_steps: int = 60) -> None:
    a, b = weights(ours, num_steps), weights(theirs, num_steps)
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)
    drop = ("images_per_second", "elapsed_seconds", "input_wait_share")
    rows = [folder.joinpath("metrics.csv").read_text().splitlines() for folder in (ours, theirs)]
    header = rows[0][0].split(",")
    kept = [i for i, name in enumerate(header) if name not in drop]
    picked = [[[line.split(",")[i] for i in kept] for line in lines] for lines in rows]
    assert picked[0] == picked[1]


def kill_many(folder: pathlib.Path, settings: dict, num_kills: int, seed: int) -> int:
    """Kills a run again and again, every fourth time inside a checkpoint; then lets it finish."""
    generator = random.Random(seed)
    killed = 0
    for number in range(num_kills):
        how = {"kill_after_seconds": generator.uniform(0.0, 0.06)}  # of some 0.2 s
        if number % 4 == 3:
            how = {"kill_in_fsync": generator.choice([1, 2])}
        code, _ = run_once({**settings, **how, "folder": str(folder)})
        killed += code == -signal.SIGKILL
    assert run_once({**settings, "folder": str(folder)})[0] == 0
    return killed


def test_a_kill_while_a_checkpoint_is_written(tmp_path):
    settings = {"total_steps": 20}
    run_once({**settings, "folder": str(tmp_path / "whole")})
    cut = {**settings, "folder": str(tmp_path / "cut")}
    checkpoints = tmp_path / "cut" / "checkpoints"
    code, _ = run_once({**cut, "kill_in_fsync": 3})
    assert code == -signal.SIGKILL
    assert [path for path in checkpoints.iterdir() if is_partial(path.name)]
    # Then between the best weights (of step 15) and the note of their score.
    code, _ = run_once({**cut, "kill_in_fsync": 1, "suffix": ".json"})
    assert code == -signal.SIGKILL
    assert (checkpoints / BEST).is_file() and not (checkpoints / BEST_SCORE).exists()
    assert run_once(cut)[0] == 0
    assert_identical(tmp_path / "cut", tmp_path / "whole", 20)
    ours, theirs = (tmp_path / name / "checkpoints" / BEST_SCORE for name in ("cut", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert not [path for path in checkpoints.iterdir() if is_partial(path.name)]


@pytest.mark.slow
def test_kills_while_images_are_streamed(tmp_path):
    images = jpegs(24)
    shards = write_shards(tmp_path, [images[:9], images[9:]])
    run_once({"folder": str(tmp_path / "whole"), "shards": shards})
    kill_many(tmp_path / "cut", {"shards": shards}, 5, seed=0)
    assert_identical(tmp_path / "cut", tmp_path / "whole")
    recipe = json.loads((tmp_path / "whole" / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["stream_window_images"] == 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_kills", "num_replicas", "xla"),
    [(6, 1, True), (6, 2, True)] if is_on_jax() else [(16, 1, False), (4, 1, True), (6, 2, False)],
)
def test_many_kills(tmp_path, num_kills, num_replicas, xla):
    settings = {"num_replicas": num_replicas, "xla": xla}
    run_once({**settings, "folder": str(tmp_path / "whole")})
    killed = kill_many(tmp_path / "cut", settings, num_kills, seed=num_replicas)
    assert killed >= num_kills / 4
    assert_identical(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
def test_kills_while_images_lie_on_the_device(tmp_path):
    run_once({"folder": str(tmp_path / "whole"), "on_device": True})
    kill_many(tmp_path / "cut", {"on_device": True}, 5, seed=0)
    assert_identical(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
def test_kills_of_one_of_two_processes(tmp_path):
    def both(folder: str, how: tuple[dict, dict] = ({}, {})) -> list[int]:
        return run_workers([{"folder": str(tmp_path / folder), **one} for one in how])

    assert both("whole") == [0, 0]
    generator = random.Random(0)
    for number in range(4):
        how = [{}, {}]
        how[number % 2] = {"kill_after_seconds": generator.uniform(0.0, 1.0)}
        both("cut", tuple(how))
    assert both("cut") == [0, 0]
    assert_identical(tmp_path / "cut", tmp_path / "whole")


def test_sigterm_saves_and_leaves_with_its_own_code(tmp_path):
    settings = {"total_steps": 3000, "announce": True, "folder": str(tmp_path)}
    process = start(_PROGRAM, settings)
    for line in process.lines():
        if line.startswith("step"):
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 75
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["state"] == "preempted" and 0 < status["step"] < 3000
    assert (tmp_path / "checkpoints" / f"step-{status['step']}.npz").is_file()


# Steps of half a second, a row after 1000 of them: what is due comes far too late to stop there.
_SLOW = {"step_seconds": 0.5, "log_every_steps": 1000, "checkpoint_every_steps": 1000}


def seconds_to_stop(running: list, told: int = 0) -> float:
    """Sends SIGTERM to one of the processes that do a run, amid its steps, and waits for all."""
    for line in running[told].lines():
        if line.startswith("step"):
            break
    time.sleep(1.2)
    started = time.monotonic()
    running[told].send_signal(signal.SIGTERM)
    for process in running:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 75, errors[-3000:]
        if process is running[told]:
            assert "asked to stop: the step under way will be finished" in out
    return time.monotonic() - started


def assert_goes_on_as_undisturbed(tmp_path: pathlib.Path, settings: dict, run) -> None:
    """The rest of a run that was stopped in `cut`, without the slow steps."""
    fast = {**settings, **_SLOW, "step_seconds": 0.0, "total_steps": 60}
    for folder in ("whole", "cut"):
        run({**fast, "folder": str(tmp_path / folder)})
    assert_identical(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
def test_slow_steps_stop_within_ten_seconds(tmp_path):
    settings = {**_SLOW, "validate_every_steps": 1000, "announce": True}
    process = start(_PROGRAM, {**settings, "folder": str(tmp_path / "cut")})
    assert seconds_to_stop([process]) < 10
    status = json.loads((tmp_path / "cut" / "status.json").read_text())
    assert status["state"] == "preempted" and 2 < status["step"] < 30
    assert_goes_on_as_undisturbed(tmp_path, {"validate_every_steps": 1000}, run_once)


@pytest.mark.slow
def test_slow_steps_of_two_processes_stop_within_ten_seconds(tmp_path):
    settings = {**_SLOW, "validate_every_steps": 1000, "announce": True}
    running = start_workers(_PROGRAM, [{**settings, "folder": str(tmp_path / "cut")}] * 2)
    assert seconds_to_stop(running, told=1) < 10

    def run_both(settings: dict) -> None:
        assert run_workers([settings] * 2) == [0, 0]

    assert_goes_on_as_undisturbed(tmp_path, {"validate_every_steps": 1000}, run_both)


@pytest.mark.slow
@pytest.mark.parametrize("final_weights", ["last", "best"])
def test_two_processes_find_what_the_first_one_wrote(tmp_path, final_weights):
    settings = {
        "folder": str(tmp_path), "total_steps": 6, "validate_every_steps": 3,
        "log_every_steps": 6, "checkpoint_every_steps": 6, "final_weights": final_weights,
        "accuracy_rises": True,
    }  # fmt: skip
    both = start_workers(_PROGRAM, [{**settings, "write_seconds": 2.0}, settings])
    results = []
    for process in both:
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]
        results.append(json.loads(out.splitlines()[-1]))
    assert results[0] == results[1]
    assert results[1]["validation_accuracy"] == 0.06  # of step 6; that of step 3 was there before


@pytest.mark.slow
def test_restart_with_another_number_of_replicas(tmp_path):
    settings = {"folder": str(tmp_path / "cut")}
    run_once({**settings, "kill_at_step": 33})
    code, out = run_once({**settings, "num_replicas": 2})
    assert code == 0
    assert "going on from step 30 with 2 replicas after 1" in out
