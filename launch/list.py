"""Lists studies, lone runs, prepared data and exports below a folder.

fine2coarse list
fine2coarse list runs /shared/studies
fine2coarse list runs --format=json

Where no folder is given, the current one is looked through. Links are not followed.
"""

import json
import logging
import pathlib

from absl import flags

from fine2coarse.cli.program import run_main
from fine2coarse.paths import expand

_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "What to print.")
_log = logging.getLogger("fine2coarse.list")


def main(roots: list[str]) -> None:
    from fine2coarse.folders.inventory import take_inventory

    roots = roots or ["."]
    inventory = take_inventory([pathlib.Path(expand(root)) for root in roots])
    if _FORMAT.value == "json":
        print(json.dumps(inventory.as_json(), indent=1))
        return
    print(inventory.table() or f"no studies, runs, prepared data or exports in {', '.join(roots)}")
    for problem in inventory.problems:
        _log.warning("%s", problem)


if __name__ == "__main__":
    run_main(main, takes_arguments=True)
