"""Remakes a study's report, or merges several studies into one, without any training.

  python launch/report.py --workdir=runs/demo
  python launch/report.py --workdir=runs/seeds012,runs/seeds345 --out=runs/six_seeds

Studies that are merged ask the same question: the same target, test images and training. Their
seeds are pooled; arms of one name but different label specs are told apart by the study's name.
"""

import pathlib

from _cli import WORKDIR, run_main
from absl import flags

_OUT = flags.DEFINE_string(
    "out", None, "Folder for the report; default: the study's own, where there is one study."
)


def main() -> None:
    from _images import image_reader

    from fine2coarse.experiment.report import write_report

    workdirs = [pathlib.Path(name) for name in WORKDIR.value.split(",")]
    if len(workdirs) > 1 and not _OUT.value:
        raise ValueError("several studies are merged into a folder of their own: give --out=FOLDER")
    out = pathlib.Path(_OUT.value) if _OUT.value else workdirs[0]
    page = write_report(*workdirs, out=out, read_images=image_reader(workdirs))
    print(f"report: {page}")


if __name__ == "__main__":
    run_main(main, required=("workdir",), needs_tensorflow=False)
