"""Pretrains on each label space, transfers to the coarse task, and reports which one won.

python launch/study.py --config=configs/demo.py --workdir=runs/demo
"""

import pathlib
import sys

from _cli import CONFIG, WORKDIR, open_study, run_main
from _images import image_reader


def main() -> None:
    from fine2coarse.experiment.recipe import Recipe
    from fine2coarse.experiment.report import record_command, write_report
    from fine2coarse.experiment.results import format_table, table
    from fine2coarse.experiment.study import Study

    recipe = Recipe.from_config(CONFIG.value)
    study = Study(recipe, pathlib.Path(WORKDIR.value))
    record_command(study.workdir, "launch/study.py", sys.argv[1:])
    strategy, data = open_study(recipe)
    rows = study.run(data, strategy)
    print()
    print(format_table(*table(rows)))
    page = write_report(study.workdir, read_images=image_reader([study.workdir]))
    print(f"\nreport: {page}")


if __name__ == "__main__":
    run_main(main)
