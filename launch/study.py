"""Pretrains on each label space, transfers to the coarse task, and reports which one won.

python launch/study.py --config=configs/demo.py --workdir=runs/demo
"""

import pathlib

from _cli import CONFIG, WORKDIR, open_study, run_main


def main() -> None:
    from fine2coarse.experiment.recipe import Recipe
    from fine2coarse.experiment.report import write_report
    from fine2coarse.experiment.results import format_table, table
    from fine2coarse.experiment.study import Study

    recipe = Recipe.from_config(CONFIG.value)
    study = Study(recipe, pathlib.Path(WORKDIR.value))
    strategy, data = open_study(recipe)
    rows = study.run(data, strategy)
    print()
    print(format_table(*table(rows)))
    page = write_report(study.workdir, recipe, data.name, rows)
    print(f"\nreport: {page}")


if __name__ == "__main__":
    run_main(main)
