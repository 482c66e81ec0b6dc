"""Remakes a study's report, merges studies into one, or sets them side by side.

  fine2coarse report --workdir=runs/demo
  fine2coarse report --workdir=runs/seeds012,runs/seeds345 --out=runs/six_seeds
  fine2coarse report --compare runs/slow runs/fast --out=runs/rates

Studies that are merged ask the same question: the same target, test images and training. Their
seeds are pooled; arms of one name but different label specs get their study's name appended.
Studies that are compared may differ in anything: what differs is listed, and errors, learning
curves and costs stand side by side.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from fine2coarse.cli.folder_flags import WORKDIR, given_data_folders
from fine2coarse.cli.path_flags import define_path, define_paths
from fine2coarse.cli.program import run_main
from fine2coarse.errors import UsageError
from fine2coarse.paths import expand

_OUT = define_path(
    "out",
    None,
    "Folder for the report; default: the study's own, where there is one study; with --compare, "
    "`comparison` beside the first.",
)
_COMPARE = define_paths(
    "compare", [], "Folders of studies to set side by side, with commas or spaces between."
)


def main(arguments: Sequence[str]) -> None:
    if _COMPARE.value:
        _compare([*_COMPARE.value, *map(expand, arguments)])
        return
    if arguments:
        raise UsageError(
            f"unexpected arguments {list(arguments)}; the folder of a study is given as "
            "--workdir=FOLDER, several to be compared after --compare"
        )
    if not WORKDIR.value:
        raise UsageError("give --workdir=FOLDER, or --compare FOLDER FOLDER")
    _report([pathlib.Path(expand(name)) for name in WORKDIR.value.split(",")])


def _report(workdirs: Sequence[pathlib.Path]) -> None:
    from fine2coarse.analysis.study_folder import read_study
    from fine2coarse.analysis.winner import find_winner
    from fine2coarse.report import write_report
    from fine2coarse.report.claim import hold_report
    from fine2coarse.studies.tested_images import image_reader

    if len(workdirs) > 1 and not _OUT.value:
        raise UsageError("several studies are merged into a folder of their own: give --out=FOLDER")
    out = pathlib.Path(_OUT.value) if _OUT.value else workdirs[0]
    with hold_report(out, workdirs):
        images = image_reader(workdirs, given_data_folders())
        page = write_report(*workdirs, out=out, read_images=images)
    studies = [read_study(workdir) for workdir in workdirs]
    told = [study.partial_note for study in studies]
    told += [find_winner(study).told(study.workdir) for study in studies if len(studies) == 1]
    print("\n".join([*filter(None, told), f"report: {page}"]))


def _compare(folders: Sequence[str]) -> None:
    from fine2coarse.report import write_side_by_side

    if WORKDIR.value:
        raise UsageError("--compare names all studies: leave out --workdir")
    out = pathlib.Path(_OUT.value) if _OUT.value else None
    print(write_side_by_side([pathlib.Path(folder) for folder in folders], out))


if __name__ == "__main__":
    flags.FLAGS.set_gnu_getopt(True)  # flags may stand after the folders of --compare
    run_main(main, takes_arguments=True)
