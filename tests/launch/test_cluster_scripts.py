"""The SLURM array and the Kubernetes job, as far as they can be tried without a cluster."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

from fine2coarse.errors import EXIT_FAILED, EXIT_TRY_AGAIN, EXIT_USAGE

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SLURM = _ROOT / "launch" / "cluster" / "slurm_array.sh"
_KUBERNETES = _ROOT / "launch" / "cluster" / "kubernetes_job.yaml"


def write_program(path: pathlib.Path, text: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def slurm(tmp_path):
    """A function that runs the script with stand-ins for srun, scontrol and Python."""
    programs = tmp_path / "bin"
    programs.mkdir()
    write_program(programs / "srun", 'exec "$@"')
    write_program(programs / "scontrol", f'printf "%s\\n" "$@" > {tmp_path}/scontrol')

    def run(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
        write_program(programs / "python", f'printf "%s\\n" "$@" > {tmp_path}/python\nexit {code}')
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
        return subprocess.run(
            ["bash", str(_SLURM), *arguments],
            cwd=_ROOT,
            env={
                **kept, "PATH": f"{programs}:{kept['PATH']}", "PYTHON": str(programs / "python"),
                "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "77", **environment,
            },
            capture_output=True,
            text=True,
        )  # fmt: skip

    return run


def test_a_task_runs_the_study_with_its_arguments_as_they_are(slurm, tmp_path):
    shown = slurm("--config=c.py", "--workdir=/a b/$(x)")
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "python").read_text().splitlines() == [
        "launch/study.py", "--config=c.py", "--workdir=/a b/$(x)", "--nowait",
    ]  # fmt: skip
    assert not (tmp_path / "scontrol").exists()


def test_a_preempted_task_is_queued_again(slurm, tmp_path):
    shown = slurm("--config=c.py", code=EXIT_TRY_AGAIN)
    assert shown.returncode == 0
    assert (tmp_path / "scontrol").read_text().split() == ["requeue", "77_3"]


def test_requeues_are_bounded_and_failures_stay_failures(slurm, tmp_path):
    shown = slurm(code=EXIT_TRY_AGAIN, SLURM_RESTART_COUNT="2", MAX_REQUEUES="2")
    assert shown.returncode == EXIT_TRY_AGAIN and "given up" in shown.stderr
    assert [slurm(code=code).returncode for code in (1, 2, 3)] == [1, 2, 3]
    assert not (tmp_path / "scontrol").exists()


def test_outside_slurm_the_script_says_how_to_run_it():
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
    shown = subprocess.run(["bash", str(_SLURM)], env=kept, capture_output=True, text=True)
    assert shown.returncode != 0 and "sbatch" in shown.stderr


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", str(_SLURM)], check=True)


@pytest.fixture(scope="module")
def job() -> dict:
    return yaml.safe_load(_KUBERNETES.read_text())


def test_every_index_has_its_share_and_there_are_as_many(job):
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert spec["completionMode"] == "Indexed" and spec["backoffLimitPerIndex"] > 0
    (container,) = spec["template"]["spec"]["containers"]
    (shard,) = [a for a in container["args"] if a.startswith("--shard=")]
    assert shard == f"--shard=$(JOB_COMPLETION_INDEX)/{spec['completions']}"
    assert spec["parallelism"] == spec["completions"]


def test_a_pod_that_saved_is_no_failure_and_a_mistake_is_not_tried_again(job):
    spec = job["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "podFailurePolicy demands it"
    by_code = {
        code: rule["action"]
        for rule in spec["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
        for code in rule["onExitCodes"]["values"]
    }
    assert by_code == {EXIT_TRY_AGAIN: "Ignore", EXIT_USAGE: "FailIndex", EXIT_FAILED: "FailIndex"}
    (container,) = spec["template"]["spec"]["containers"]
    names = {rule["onExitCodes"]["containerName"] for rule in spec["podFailurePolicy"]["rules"][:2]}
    assert names == {container["name"]}


@pytest.mark.slow
def test_the_jobs_arguments_are_those_that_the_study_takes(job, tmp_path):
    (container,) = job["spec"]["template"]["spec"]["containers"]
    arguments = [a.replace("$(JOB_COMPLETION_INDEX)", "1") for a in container["args"]]
    shown = subprocess.run(
        [sys.executable, *container["command"][1:], *arguments, "--list"],
        cwd=_ROOT, env={**os.environ, "PYTHONPATH": str(_ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) == 4  # of 15 runs the 2nd, 6th, 10th and 14th
