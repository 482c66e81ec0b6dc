"""Remakes a study's report, or one of several studies merged.

  fine2coarse report --workdir=runs/demo
  fine2coarse report --workdir=runs/seeds012,runs/seeds345 --out=runs/six_seeds

Studies that are merged ask the same question: the same target, test images and training. Their
seeds are pooled; arms of one name but different label specs get their study's name appended.
"""

import pathlib

from fine2coarse.cli.folder_flags import WORKDIR, given_data_folders
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.errors import UsageError
from fine2coarse.paths import expand

_OUT = define_path(
    "out", None, "Folder for the report; default: the study's own, where there is one study."
)


def main() -> None:
    from fine2coarse.report import write_report
    from fine2coarse.report.claim import hold_report
    from fine2coarse.studies.tested_images import image_reader

    workdirs = [pathlib.Path(expand(name)) for name in WORKDIR.value.split(",")]
    if len(workdirs) > 1 and not _OUT.value:
        raise UsageError("several studies are merged into a folder of their own: give --out=FOLDER")
    out = pathlib.Path(_OUT.value) if _OUT.value else workdirs[0]
    with hold_report(out, workdirs):
        images = image_reader(workdirs, given_data_folders())
        page = write_report(*workdirs, out=out, read_images=images)
    print(f"report: {page}")


if __name__ == "__main__":
    run_main(main, required=("workdir",))
