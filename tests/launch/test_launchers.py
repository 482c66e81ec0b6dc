"""The launchers as a user meets them: quick help, clear mistakes, the chain by hand."""

from __future__ import annotations

import csv
import json
import pathlib
import subprocess
import time

import pytest

from tests.launch.programs import help_of, launch, start

_TIME_COLUMNS = ("pretrain_seconds", "transfer_seconds")


def numbers(workdir: pathlib.Path) -> list[dict[str, str]]:
    """The rows of results.csv without the columns of seconds."""
    with (workdir / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in _TIME_COLUMNS} for row in rows]


@pytest.mark.parametrize("program", ["study", "pretrain", "transfer", "report"])
def test_help_imports_nothing_heavy(program):
    text, imported = help_of(program)
    assert "--workdir" in text and not imported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=configs/demo.py", "--workdr=x"], "Did you mean: workdir"),
        (["--config=configs/demo.py", "--config.pretrain.total_step=5"], "mean 'total_steps'"),
        (["--config=configs/demo.py", "--config.arms.xyz.source=level"], "unknown field 'xyz'"),
        (["--config=configs/demo.py", "--config.seeds[0]=3"], '--config.seeds="(3, 1, 2)"'),
        (["--config=configs/demo.py", "--config.pretrain.total_steps=5.5"], "invalid literal"),
        (["--config=configs/dmo.py", "--workdir=x"], "configs/dmo.py"),
        (["--config=configs/demo.py:tiny", "--workdir=x"], "expected demo or demo:smoke"),
        (["--config=configs/demo.py"], "error: --workdir must have a value.\n"),
    ],
)
def test_mistyped_flags_fail_at_once(arguments, message):
    shown = launch("study", *arguments)
    assert shown.returncode == 2
    assert message in shown.stderr and shown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("study", ["--config=configs/folder.py"], "needs `source`"),
        (
            "study",
            ["--config=configs/folder.py", "--config.dataset.options.source=/no/such"],
            "no such folder or",
        ),
        ("report", [], "no recipe.json"),
        ("pretrain", ["--config=configs/demo.py", "--arm=fin"], "did you mean 'fine'"),
        ("transfer", ["--config=configs/demo.py", "--pretrained=/no/run"], "no result.json"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path, program, arguments, message):
    shown = launch(program, *arguments, f"--workdir={tmp_path / 'w'}")
    assert shown.returncode == 2
    assert message in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_a_workdir_that_cannot_be_written_is_told_first():
    shown = launch("study", "--config=configs/demo.py:smoke", "--workdir=/proc/x")
    assert shown.returncode == 2
    assert "cannot write to /proc/x" in shown.stderr


@pytest.fixture(scope="module")
def smoke_study(tmp_path_factory) -> pathlib.Path:
    """A whole study in its small form, run once."""
    workdir = tmp_path_factory.mktemp("study") / "run"
    shown = launch("study", "--config=configs/demo.py:smoke", f"--workdir={workdir}")
    assert shown.returncode == 0, shown.stderr
    (workdir / "stdout.txt").write_text(shown.stdout)
    return workdir


@pytest.mark.slow
def test_a_study_leaves_what_it_promises(smoke_study):
    arms = {row["arm"]: row for row in numbers(smoke_study)}
    assert set(arms) == {"baseline", "middle", "fine", "random", "per_image"}
    # 12 steps of pretraining and 8 of each of three transfers; the baseline's 20, and three of 8.
    seen = {arm: int(row["images_seen"]) for arm, row in arms.items()}
    assert seen.pop("baseline") == 16 * (20 + 3 * 8) and set(seen.values()) == {16 * (12 + 3 * 8)}
    assert arms["per_image"]["num_classes"] == "173"  # of 192 images, 19 are held out
    assert arms["fine"]["direct_wrong"] and arms["fine"]["direct_argmax_wrong"]
    assert all(row["transfer"] for row in arms.values())
    assert all(row["num_images"] == "128" for row in arms.values())
    page = (smoke_study / "report.html").read_text()
    assert "data:image/svg+xml;base64," in page and 'src="http' not in page
    assert (smoke_study / "granularity.png").read_bytes().startswith(b"\x89PNG")
    transfer = smoke_study / "runs" / "fine-seed0" / "transfer"
    result = json.loads((transfer / "result.json").read_text())
    assert result["evaluation"]["num_images"] == 128
    assert "per_image" in (smoke_study / "stdout.txt").read_text()


@pytest.mark.slow
def test_a_report_is_remade_and_names_its_command(smoke_study, tmp_path):
    again = launch("report", f"--workdir={smoke_study}", f"--out={tmp_path / 'out'}")
    assert again.returncode == 0, again.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert page == (smoke_study / "report.html").read_text()
    assert "python launch/study.py --config=configs/demo.py:smoke --workdir=runs/run" in page
    assert str(smoke_study.parent) not in page
    twice = launch("report", f"--workdir={smoke_study},{smoke_study}")
    assert twice.returncode == 2 and "--out=FOLDER" in twice.stderr


@pytest.mark.slow
def test_a_finished_study_is_read_back_and_another_recipe_refused(smoke_study):
    before = (smoke_study / "results.csv").read_bytes()
    again = launch("study", "--config=configs/demo.py:smoke", f"--workdir={smoke_study}")
    assert again.returncode == 0
    assert (smoke_study / "results.csv").read_bytes() == before
    other = launch(
        "study", "--config=configs/demo.py:smoke", f"--workdir={smoke_study}",
        "--config.transfer.total_steps=12",
    )  # fmt: skip
    assert other.returncode == 2
    assert "transfer.total_steps was 8, now 12" in other.stderr


def _is_at(path: pathlib.Path, step: int) -> bool:
    try:
        return json.loads(path.read_text())["step"] >= step
    except (FileNotFoundError, json.JSONDecodeError):
        return False


_TWO_ARMS = ("middle", "fine")


def numbers_of_two(workdir: pathlib.Path) -> list[dict[str, str]]:
    """Of a study that may have more arms."""
    return [row for row in numbers(workdir) if row["arm"] in _TWO_ARMS]


_MOMENTS = {
    "in pretraining": lambda w: _is_at(w / "runs/middle-seed0/pretrain/status.json", 4),
    "in transfer": lambda w: _is_at(w / "runs/fine-seed0/trials/summed/status.json", 4),
    "between runs": lambda w: (w / "runs/fine-seed0/transfer/result.json").is_file(),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", _MOMENTS)
def test_killed_and_started_again_gives_the_same_numbers(smoke_study, tmp_path, moment):
    workdir = tmp_path / "run"
    arguments = ["--config=configs/demo.py:smoke", f"--workdir={workdir}"]
    arguments += [f"--arm={','.join(_TWO_ARMS)}", f"--data_dir={smoke_study / 'data'}"]
    process = start("study", *arguments)
    deadline = time.monotonic() + 300
    while not _MOMENTS[moment](workdir):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (workdir / "report.html").exists()
    shown = launch("study", *arguments)
    assert shown.returncode == 0, shown.stderr
    assert numbers(workdir) == numbers_of_two(smoke_study)


@pytest.mark.slow
def test_the_chain_by_hand_equals_the_study(smoke_study, tmp_path):
    config = "--config=configs/demo.py:smoke"
    data = f"--data_dir={smoke_study / 'data'}"
    first = launch("pretrain", config, data, "--arm=fine", f"--workdir={tmp_path / 'fine'}")
    assert first.returncode == 0, first.stderr
    second = launch(
        "transfer", config, data, f"--pretrained={tmp_path / 'fine'}", f"--workdir={tmp_path / 'c'}"
    )
    assert second.returncode == 0, second.stderr
    ours = json.loads((tmp_path / "c" / "result.json").read_text())
    theirs = smoke_study / "runs" / "fine-seed0" / "transfer" / "result.json"
    assert ours["evaluation"] == json.loads(theirs.read_text())["evaluation"]


@pytest.mark.slow
def test_one_and_two_devices_give_the_same_losses(smoke_study, tmp_path):
    losses = {}
    for name, flags in {
        "one": ["--strategy=one_device"],
        "two": ["--strategy=mirrored", "--num_logical_cpus=2"],
    }.items():
        # A gentle learning rate: at the demo's, rounding differences grow tenfold in a few steps.
        shown = launch(
            "pretrain", "--config=configs/demo.py:smoke", "--config.pretrain.log_every_steps=1",
            "--config.pretrain.optimizer.learning_rate=0.02", "--arm=fine",
            f"--data_dir={smoke_study / 'data'}", f"--workdir={tmp_path / name}", *flags,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stderr
        with (tmp_path / name / "metrics.csv").open(newline="") as file:
            losses[name] = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses["one"]) == 12
    assert losses["one"] == pytest.approx(losses["two"], abs=1e-5)


@pytest.mark.slow
def test_a_full_disk_loses_nothing(smoke_study, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs rights that this user lacks")
    arguments = [
        "--config=configs/demo.py:smoke", f"--workdir={small / 'run'}",
        f"--data_dir={smoke_study / 'data'}", f"--arm={','.join(_TWO_ARMS)}",
    ]  # fmt: skip
    try:
        full = launch("study", *arguments)
        assert full.returncode == 3
        assert "the disk is full" in full.stderr
        finished = list((small / "run").rglob("result.json"))
        assert finished
        subprocess.run(["mount", "-o", "remount,size=256m", str(small)], check=True)
        times = [path.stat().st_mtime_ns for path in finished]
        again = launch("study", *arguments)
        assert again.returncode == 0, again.stderr
        assert [path.stat().st_mtime_ns for path in finished] == times
        assert numbers(small / "run") == numbers_of_two(smoke_study)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)
