"""Cloud TPU by a fake gcloud: the order, the cleaning up, the quoting, the restarts."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
import tomllib

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]

from fine2coarse import cards  # noqa: E402
from fine2coarse.cloud import tpu_job  # noqa: E402
from fine2coarse.cloud.run import check_program, checkout  # noqa: E402
from fine2coarse.cloud.tpu_driver import CloudError, Driver  # noqa: E402
from fine2coarse.errors import EXIT_TRY_AGAIN, UsageError  # noqa: E402

JOB = tpu_job.CloudJob(
    name="study",
    zone="us-west4-a",
    accelerator_type="v5litepod-8",
    runtime_version="v2-alpha-tpuv5-lite",
    program=("launch/study.py", "--config=configs/demo.py", "--workdir=gs://b/w"),
    workdir="gs://b/w",
    poll_s=0.0,
    max_wait_s=0.0,
)
USUAL = {
    "describe": [[0, "READY\n", ""]],
    "look": [[0, "one\ntwo\n\nexit_code=\n", ""], [0, "three\n\nexit_code=0\n", ""]],
}
ALL_STEPS = ["create", "describe", "scp", "install", "start", "look", "look", "rsync", "delete"]
NO_CAPACITY = [1, "", "ERROR: RESOURCE_EXHAUSTED: There is no more capacity in the zone\n"]
NOT_FOUND = [1, "", "ERROR: NOT_FOUND: Resource was not found\n"]


@pytest.fixture
def gcloud(tmp_path, monkeypatch):
    """A function that sets the fake's answers; `.calls()` gives the steps so far."""
    fake = _ROOT / "tests" / "cloud" / "fake_gcloud.py"
    program = tmp_path / "gcloud"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{fake}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GCLOUD", str(tmp_path))

    class Fake:
        folder = tmp_path

        def answer(self, **answers):
            for counter in tmp_path.glob("count-*"):
                counter.unlink()
            (tmp_path / "answers.json").write_text(json.dumps({**USUAL, **answers}))

        def calls(self) -> list[list[str]]:
            path = tmp_path / "calls.jsonl"
            return [json.loads(line) for line in path.read_text().splitlines()]

        def steps(self) -> list[str]:
            return [call[0] for call in self.calls()]

    return Fake()


def drive(job=JOB):
    told = []
    codes = Driver(job, "a.tar.gz", told.append, lambda seconds: None).run()
    return codes, told


def test_the_steps_in_their_order_and_the_log(gcloud, tmp_path):
    gcloud.answer()
    codes, told = drive(dataclasses.replace(JOB, results=str(tmp_path / "results")))
    assert gcloud.steps() == ALL_STEPS
    assert codes == {"study-0": 0}
    assert [line for line in told if line.startswith("[")] == [
        "[study-0] one", "[study-0] two", "[study-0] three",
    ]  # fmt: skip
    looks = [call for call in gcloud.calls() if call[0] == "look"]
    assert "tail --lines=+1 run.log" in str(looks[0])
    assert "tail --lines=+3 run.log" in str(looks[1]), "nothing is shown twice"


def test_the_exit_code_of_a_stopped_run_is_the_trainings_own():
    from fine2coarse.cloud.tpu_driver import EXIT_TRY_AGAIN as ours

    assert ours == EXIT_TRY_AGAIN


@pytest.mark.parametrize("step", ["create", "scp", "install", "start", "rsync"])
def test_a_failure_at_any_step_deletes_the_machine(gcloud, tmp_path, step):
    gcloud.answer(**{step: [[1, "", "ERROR: permission denied\n"]]})
    with pytest.raises(CloudError, match=r"could not be created|failed with exit code 1"):
        drive(dataclasses.replace(JOB, results=str(tmp_path / "results")))
    steps = gcloud.steps()
    assert steps[-1] == "delete" and steps.count("delete") == 1
    assert steps.count(step) == 1, "what is no matter of capacity is not tried again"


def test_a_program_that_fails_is_told_and_its_results_are_fetched(gcloud, tmp_path):
    gcloud.answer(look=[[0, "Traceback\n\nexit_code=2\n", ""]])
    codes, _ = drive(dataclasses.replace(JOB, results=str(tmp_path / "results")))
    assert codes == {"study-0": 2}
    assert gcloud.steps()[-2:] == ["rsync", "delete"]


def test_a_spot_machine_that_is_taken_away_is_had_again(gcloud):
    gcloud.answer(
        describe=[[0, "READY\n", ""], [0, "PREEMPTED\n", ""], [0, "READY\n", ""]],
        look=[[255, "", "closed"], [0, "on\n\nexit_code=0\n", ""]],
    )
    codes, told = drive(dataclasses.replace(JOB, spot=True))
    assert codes == {"study-0": 0}
    assert gcloud.steps() == [
        "create", "describe", "scp", "install", "start", "look", "describe", "delete",
        "create", "describe", "scp", "install", "start", "look", "delete",
    ]  # fmt: skip
    assert any("restart 1 of 10" in line for line in told)
    assert all("--spot" in call for call in gcloud.calls() if call[0] == "create")


def test_a_run_that_saved_and_left_goes_on_elsewhere(gcloud):
    gcloud.answer(look=[[0, "\nexit_code=75\n", ""], [0, "\nexit_code=0\n", ""]])
    assert drive(dataclasses.replace(JOB, spot=True))[0] == {"study-0": 0}
    assert gcloud.steps().count("create") == 2


def test_a_machine_of_another_job_is_left_alone(gcloud):
    gcloud.answer(create=[[1, "", "ERROR: (gcloud) ALREADY_EXISTS: Resource study-0"]])
    with pytest.raises(CloudError, match=r"study-0 is there already.*choose another --name"):
        drive()
    assert "delete" not in gcloud.steps()


def test_restarts_are_bounded(gcloud):
    gcloud.answer(create=[NO_CAPACITY])
    with pytest.raises(CloudError, match="given up after 3 restarts"):
        drive(dataclasses.replace(JOB, max_restarts=3))
    assert gcloud.steps().count("create") == 4 and gcloud.steps()[-1] == "delete"


def test_a_dropped_connection_is_no_lost_machine(gcloud):
    gcloud.answer(look=[[255, "", "timeout"]] * 3 + [[0, "x\n\nexit_code=0\n", ""]])
    assert drive()[0] == {"study-0": 0}
    assert gcloud.steps().count("create") == 1
    gcloud.answer(look=[[255, "", "timeout"]])
    with pytest.raises(CloudError, match="cannot be reached"):
        drive()


def test_a_deletion_that_fails_is_tried_again_and_told(gcloud, told):
    gcloud.answer(delete=[[1, "", "busy"]])
    drive()
    assert gcloud.steps().count("delete") == 3
    error = "\n".join(told())
    assert "may still be there and cost money" in error
    assert "gcloud compute tpus tpu-vm delete study-0 --zone=us-west4-a --quiet" in error
    gcloud.answer(delete=[[1, "", "gone"]], describe=[[0, "READY\n", ""], NOT_FOUND])
    drive()
    assert "cost money" not in "\n".join(told())


def test_several_machines_share_the_runs_and_one_is_lost(gcloud):
    gcloud.answer(**{"look@study-1": [[0, "\nexit_code=75\n", ""], [0, "\nexit_code=0\n", ""]]})
    assert drive(dataclasses.replace(JOB, num_nodes=3))[0] == {f"study-{i}": 0 for i in range(3)}
    starts = [str(call) for call in gcloud.calls() if call[0] == "start"]
    assert [start.count("--shard=1/3") for start in starts] == [0, 1, 0, 1]
    deleted = [call[5] for call in gcloud.calls() if call[0] == "delete"]
    assert deleted == ["study-1", "study-0", "study-1", "study-2"]


def test_queued_resources(gcloud):
    gcloud.answer(describe=[[0, "WAITING_FOR_RESOURCES\n", ""], [0, "ACTIVE\n", ""]])
    drive(dataclasses.replace(JOB, queued=True, spot=True, max_wait_s=60, project="p"))
    create = gcloud.calls()[0]
    assert create[1:6] == ["compute", "tpus", "queued-resources", "create", "study-0"]
    assert {"--node-id=study-0", "--spot", "--project=p"} <= set(create)
    assert "--force" in gcloud.calls()[-1]
    gcloud.answer(describe=[[0, "WAITING_FOR_RESOURCES\n", ""]])
    with pytest.raises(CloudError, match="still WAITING_FOR_RESOURCES"):
        drive(dataclasses.replace(JOB, queued=True))


HOSTILE = 'gs://b/it\'s $(touch pwned); `touch pwned` "x" & rm -rf ~'


def remote_command(arguments: list[str]) -> str:
    return next(a for a in arguments if a.startswith("--command=")).removeprefix("--command=")


def test_hostile_names_stay_arguments_through_both_shells(tmp_path):
    """The remote command is run by a real shell, with a program that shows its arguments."""
    program = ("launch/study.py", f"--workdir={HOSTILE}", "--config=c.py:a b")
    job = dataclasses.replace(JOB, program=program, workdir=HOSTILE)
    home = tmp_path / "fine2coarse"
    (home / ".venv" / "bin").mkdir(parents=True)
    python = home / ".venv" / "bin" / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, sys\nopen('argv', 'w').write(json.dumps(sys.argv[1:]))\n"
    )
    python.chmod(0o755)
    node = job.nodes()[0]
    subprocess.run(["bash", "-c", remote_command(node.start())], cwd=tmp_path, check=True)
    deadline = time.monotonic() + 30
    while not (home / "exit_code").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert json.loads((home / "argv").read_text()) == [*program, "--strategy=tpu", "--tpu=local"]
    assert not list(tmp_path.rglob("pwned"))
    shown = subprocess.run(
        ["bash", "-c", remote_command(node.look(0))], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.stdout.endswith("\nexit_code=0\n")


def test_the_printed_plan_reads_back_as_the_same_arguments():
    job = dataclasses.replace(JOB, workdir=HOSTILE, program=("launch/study.py", HOSTILE))
    lines = [line for line in tpu_job.describe(job, "a.tgz") if not line.startswith("#")]
    node = job.nodes()[0]
    commands = [shlex.split(line) for line in lines]
    for command in (node.create(), node.install(), node.start(), node.look(0), node.delete()):
        assert command in commands
    assert commands[-1] == node.delete()
    for command in commands:
        if "ssh" in command:
            subprocess.run(["bash", "-n", "-c", remote_command(command)], check=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "x; rm -rf"}, "small letters"),
        ({"zone": "a b"}, "no name of a zone"),
        ({"accelerator_type": "v4-32"}, "Take v4-8 and more --num_nodes"),
        ({"accelerator_type": "h100-8"}, "expected one of v2-8"),
        ({"workdir": "runs/x", "spot": True}, "machine's own disk goes"),
        ({"workdir": "runs/a b", "results": "here"}, "cannot be fetched"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(JOB, **changes)


@pytest.mark.parametrize(
    ("program", "num_nodes", "message"),
    [
        ([], 1, "name a program and its flags after --"),
        (["launch/stdy.py"], 1, "'launch/stdy.py' is none of our programs"),
        (["launch/study.py"], 1, "the program needs --workdir"),
        (["launch/pretrain.py", "--workdir=gs://b/w"], 2, "is for launch/study.py"),
    ],
)
def test_mistakes_in_the_program(program, num_nodes, message):
    with pytest.raises(UsageError, match=message):
        check_program(_ROOT, program, num_nodes)


def test_the_checkout_is_found_and_needed(tmp_path, monkeypatch):
    assert checkout() == _ROOT
    program = ["launch/pretrain.py", "--workdir=a", "--workdir=gs://b/w"]
    assert check_program(_ROOT, program, 1) == "gs://b/w"
    (tmp_path / "fine2coarse" / "launch").mkdir(parents=True)
    monkeypatch.setattr(cards, "_HERE", tmp_path / "fine2coarse")
    with pytest.raises(UsageError, match="clone the project"):
        checkout()


def launch_arguments(*extra: str) -> list[str]:
    return [
        sys.executable, "launch/cloud_tpu.py", "--name=study", "--zone=us-west4-a", *extra,
        "--", "launch/study.py", "--config=configs/demo.py", "--workdir=gs://b/w",
    ]  # fmt: skip


def test_nothing_is_run_without_execute(gcloud):
    shown = subprocess.run(
        launch_arguments(), cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert "gcloud compute tpus tpu-vm create study-0" in shown.stdout
    assert "nothing was run" in shown.stdout
    assert not (gcloud.folder / "calls.jsonl").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_it_deletes_the_machine(gcloud, number):
    gcloud.answer(look=[[0, "on\n\nexit_code=\n", ""]])
    process = subprocess.Popen(
        launch_arguments("--execute", "--poll_s=0.05"),
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell's background jobs ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not (gcloud.folder / "calls.jsonl").exists() or "look" not in gcloud.steps():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert gcloud.steps()[-1] == "delete"


@pytest.mark.parametrize(("backend", "extras"), [("tensorflow", "tpu"), ("jax", "jax-tpu,cpu")])
def test_what_is_installed_is_of_the_backend(backend, extras):
    (node,) = dataclasses.replace(JOB, backend=backend).nodes()
    installed = shlex.split(remote_command(node.install()))
    assert installed[-1] == f".[{extras}]"
    declared = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= set(declared["optional-dependencies"])


def test_the_programs_own_backend_is_that_of_the_job():
    on_jax = [*JOB.program, "--strategy=tpu", "--tpu=local", "--backend=jax"]
    assert dataclasses.replace(JOB, backend="jax").nodes()[0].program() == on_jax
    given = dataclasses.replace(JOB, backend="jax", program=(*JOB.program, "--backend=jax"))
    assert given.nodes()[0].program().count("--backend=jax") == 1
    assert not any("--backend" in argument for argument in JOB.nodes()[0].program())
    with pytest.raises(UsageError, match="give it once, before --"):
        dataclasses.replace(JOB, program=(*JOB.program, "--backend=jax"))
    with pytest.raises(UsageError, match="--backend is one of"):
        dataclasses.replace(JOB, backend="torch")
