"""Shows what nothing of a study or run reads any more; deletes it with --execute.

fine2coarse clean --workdir=runs/demo
fine2coarse clean --workdir=runs/demo --execute
fine2coarse clean --workdir=runs/demo --data --execute

Checkpoints of finished phases, weights of trials in finished runs, and what killed processes left.
Results, predictions, reports, curves and the weights that count stay. --data adds the prepared data
in the folder's own data/, unless another study or run below --root uses it.
"""

import logging
import pathlib

from absl import flags

from fine2coarse.cli.folder_flags import WORKDIR
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main

_EXECUTE = flags.DEFINE_bool("execute", False, "Delete; otherwise it is only shown.")
_DATA = flags.DEFINE_bool("data", False, "Also the prepared data in the folder's own data/.")
_ROOT = define_path(
    "root", None, "Where to look for others that use the data; default: the folder above."
)
_log = logging.getLogger("fine2coarse.clean")


def main() -> None:
    from fine2coarse import formats
    from fine2coarse.folders.cleaning import clean, plan_cleaning

    root = pathlib.Path(_ROOT.value) if _ROOT.value else None
    plan = plan_cleaning(pathlib.Path(WORKDIR.value), root=root, with_data=_DATA.value)
    print(plan.describe())
    if not plan.num_files:
        print("nothing to delete")
    elif _EXECUTE.value:
        clean(plan)
        print(f"deleted: {plan.num_files:,} files, {formats.disk_size(plan.num_bytes)} freed")
    else:
        _log.info("nothing is deleted yet: add --execute")


if __name__ == "__main__":
    run_main(main, required=("workdir",))
