"""Runs one of our programs on Cloud TPU machines: create, copy, install, run, fetch, delete.

  python launch/cloud_tpu.py --name=study --zone=us-west4-a --accelerator_type=v5litepod-8 \
    --runtime_version=v2-alpha-tpuv5-lite --spot --num_nodes=4 --results=runs/inat -- \
    launch/study.py --config=configs/paper_inat2021.py --workdir=gs://BUCKET/inat

Prints the gcloud commands; runs them with --execute. The machines are deleted in the end, also
after a failure or Ctrl-C. A spot machine that is taken away is created anew and its runs go on from
their checkpoints. Needs gcloud, logged in, with the TPU API enabled. See docs/studies.md.
"""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys
import tempfile

from absl import app, flags

from fine2coarse.cli import startup  # noqa: F401 (output must not fail in any locale)
from fine2coarse.cli.path_flags import define_path, fail, parse_flags
from fine2coarse.cloud.tpu_driver import CloudError, Driver
from fine2coarse.cloud.tpu_job import CloudJob, archive_command, describe

_ROOT = pathlib.Path(__file__).resolve().parents[1]

_NAME = flags.DEFINE_string("name", None, "Of the machines: NAME-0, NAME-1, ...")
_ZONE = flags.DEFINE_string("zone", None, "E.g. us-west4-a.")
_PROJECT = flags.DEFINE_string("project", "", "Google Cloud project; default: gcloud's.")
_ACCELERATOR = flags.DEFINE_string(
    "accelerator_type", "v5litepod-8", "A slice of one host, e.g. v4-8 or v5litepod-8."
)
_RUNTIME = flags.DEFINE_string(
    "runtime_version",
    "v2-alpha-tpuv5-lite",
    "TPU software; list them with `gcloud compute tpus tpu-vm versions list`.",
)
_NUM_NODES = flags.DEFINE_integer(
    "num_nodes", 1, "Machines; each does its share of a study's runs.", lower_bound=1
)
_SPOT = flags.DEFINE_boolean("spot", False, "Cheaper machines that may be taken away.")
_QUEUED = flags.DEFINE_boolean("queued", False, "Queue for machines (queued resources).")
_MAX_RESTARTS = flags.DEFINE_integer(
    "max_restarts", 10, "Of a machine that is taken away or cannot be had.", lower_bound=0
)
_RESULTS = define_path("results", "", "Local folder to fetch the results into.")
_PYTHON = flags.DEFINE_string("python", "3.11", "Version of Python on the machines.")
_POLL_S = flags.DEFINE_float("poll_s", 15.0, "Seconds between two looks.", lower_bound=0.0)
_MAX_WAIT_S = flags.DEFINE_float("max_wait_s", 86_400.0, "Longest wait for a machine.")
_EXECUTE = flags.DEFINE_boolean("execute", False, "Run the commands.")


def main(argv: list[str]) -> None:
    try:
        job = _job(argv[1:])
    except ValueError as error:
        fail(str(error))
    if not _EXECUTE.value:
        print("\n".join(describe(job, "fine2coarse.tar.gz")))
        print("# nothing was run; run it with --execute")
        return
    sys.exit(_execute(job))


def _job(program: list[str]) -> CloudJob:
    if not program:
        raise ValueError(
            "name a program and its flags after --, e.g. -- launch/study.py --config=…"
        )
    if not (_ROOT / program[0]).is_file():
        raise ValueError(f"{program[0]!r} is none of our programs, such as launch/study.py")
    workdirs = [a.partition("=")[2] for a in program if a.startswith("--workdir=")]
    if not workdirs:
        raise ValueError("the program needs --workdir=…, best gs://BUCKET/FOLDER")
    if _NUM_NODES.value > 1 and pathlib.Path(program[0]).name != "study.py":
        raise ValueError("--num_nodes above 1 is for launch/study.py, whose runs can be shared")
    return CloudJob(
        name=_NAME.value,
        zone=_ZONE.value,
        project=_PROJECT.value,
        accelerator_type=_ACCELERATOR.value,
        runtime_version=_RUNTIME.value,
        program=tuple(program),
        workdir=workdirs[-1],
        num_nodes=_NUM_NODES.value,
        spot=_SPOT.value,
        queued=_QUEUED.value,
        max_restarts=_MAX_RESTARTS.value,
        results=_RESULTS.value,
        python=_PYTHON.value,
        poll_s=_POLL_S.value,
        max_wait_s=_MAX_WAIT_S.value,
    )


def _execute(job: CloudJob) -> int:
    """Runs the job; the exit code."""

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    with tempfile.TemporaryDirectory() as folder:
        archive = str(pathlib.Path(folder) / "fine2coarse.tar.gz")
        changed = subprocess.run(
            ["git", "status", "--porcelain"],
            cwd=_ROOT,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
        if changed.returncode == 0 and changed.stdout:
            print("note: what is not committed is not copied", file=sys.stderr)
        subprocess.run(archive_command(archive), cwd=_ROOT, check=True)
        try:
            codes = Driver(job, archive).run()
        except CloudError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("stopped on request", file=sys.stderr)
            return 130
    return 1 if any(codes.values()) else 0


if __name__ == "__main__":
    flags.mark_flags_as_required(["name", "zone"])
    app.run(main, flags_parser=parse_flags)
