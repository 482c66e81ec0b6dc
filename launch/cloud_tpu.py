"""Runs a program on Cloud TPU machines, from creating to deleting them.

  python launch/cloud_tpu.py --name=study --zone=us-west4-a --accelerator_type=v5litepod-8 \\
    --runtime_version=v2-alpha-tpuv5-lite --spot --num_nodes=4 --results=runs/inat -- \\
    launch/study.py --config=configs/paper_inat2021.py --workdir=gs://BUCKET/inat

Prints the gcloud commands; runs them with --execute. The machines are deleted in the end, also
after a failure or Ctrl-C. A spot machine that is taken away is created anew and its runs go on from
their checkpoints. Needs gcloud, logged in, with the TPU API enabled. See docs/studies.md.
"""

import sys
from collections.abc import Sequence

from absl import flags

from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.errors import EXIT_FAILED
from fine2coarse.keras_settings import BACKENDS, TENSORFLOW

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
_BACKEND = flags.DEFINE_enum(
    "backend",
    TENSORFLOW,
    BACKENDS,
    "What the program computes on; jax installs .[jax-tpu,cpu] in place of .[tpu].",
)
_POLL_S = flags.DEFINE_float("poll_s", 15.0, "Seconds between two looks.", lower_bound=0.0)
_MAX_WAIT_S = flags.DEFINE_float("max_wait_s", 86_400.0, "Longest wait for a machine.")
_EXECUTE = flags.DEFINE_boolean("execute", False, "Run the commands.")


def main(program: Sequence[str]) -> None:
    from fine2coarse.cloud.run import check_program, checkout, run_job
    from fine2coarse.cloud.tpu_job import ARCHIVE, CloudJob, describe

    root = checkout()
    job = CloudJob(
        name=_NAME.value,
        zone=_ZONE.value,
        project=_PROJECT.value,
        accelerator_type=_ACCELERATOR.value,
        runtime_version=_RUNTIME.value,
        program=tuple(program),
        workdir=check_program(root, program, _NUM_NODES.value),
        num_nodes=_NUM_NODES.value,
        spot=_SPOT.value,
        queued=_QUEUED.value,
        max_restarts=_MAX_RESTARTS.value,
        results=_RESULTS.value,
        python=_PYTHON.value,
        backend=_BACKEND.value,
        poll_s=_POLL_S.value,
        max_wait_s=_MAX_WAIT_S.value,
    )
    if not _EXECUTE.value:
        print("\n".join(describe(job, ARCHIVE)))
        print("# nothing was run; run it with --execute")
        return
    try:
        codes = run_job(job, root)
    except KeyboardInterrupt:
        print("stopped on request", file=sys.stderr)
        sys.exit(130)
    if any(codes.values()):
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    run_main(main, required=("name", "zone"), takes_arguments=True)
