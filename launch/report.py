"""Remakes a study's report, or merges several studies into one, without any training.

  python launch/report.py --workdir=runs/demo
  python launch/report.py --workdir=runs/seeds012,runs/seeds345 --out=runs/six_seeds

Studies that are merged ask the same question: the same target, test images and training. Their
seeds are pooled; arms of one name but different label specs are told apart by the study's name.
"""

import contextlib
import pathlib

from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import WORKDIR, run_main
from fine2coarse.paths import expand

_OUT = define_path(
    "out", None, "Folder for the report; default: the study's own, where there is one study."
)


def main() -> None:
    from fine2coarse.cli.thumbnail_reader import image_reader
    from fine2coarse.report import write_report

    workdirs = [pathlib.Path(expand(name)) for name in WORKDIR.value.split(",")]
    if len(workdirs) > 1 and not _OUT.value:
        raise ValueError("several studies are merged into a folder of their own: give --out=FOLDER")
    out = pathlib.Path(_OUT.value) if _OUT.value else workdirs[0]
    with _hold(out, workdirs):
        page = write_report(*workdirs, out=out, read_images=image_reader(workdirs))
    print(f"report: {page}")


def _hold(
    out: pathlib.Path, workdirs: list[pathlib.Path]
) -> contextlib.AbstractContextManager[object]:
    """Refuses a second process that writes the report; a study's own processes count too."""
    from fine2coarse.claims import hold, hold_file
    from fine2coarse.runs.phase_folder import RECIPE, RunError

    for workdir in workdirs:
        if not (workdir / RECIPE).is_file():
            raise RunError(f"{workdir}: no {RECIPE}; expected the folder of a study")
    if out in workdirs:
        return hold(out / "claims", "report", f"the report of {out}")
    return hold_file(out / "report.html")


if __name__ == "__main__":
    run_main(main, required=("workdir",), needs_tensorflow=False)
