"""The report of a study: one HTML page with figures and tables, remade at any time.

In: study folders. Out: `report.html`, pictures, tables as CSV and LaTeX. Needs no TensorFlow. Start
with `document.py`.
"""

from __future__ import annotations

import pathlib

from fine2coarse.analysis.merging import merge
from fine2coarse.analysis.study_folder import MergeError, read_study
from fine2coarse.files import write_atomic
from fine2coarse.report import dashboard
from fine2coarse.report.claim import PAGE
from fine2coarse.report.document import render_report
from fine2coarse.report.provenance import record_command
from fine2coarse.report.report_contents import gather_contents
from fine2coarse.report.side_by_side import write_side_by_side
from fine2coarse.report.stored_thumbnails import ReadImages
from fine2coarse.runs.phase_folder import make_writable_folder

__all__ = ["PAGE", "MergeError", "record_command", "write_report", "write_side_by_side"]


def write_report(
    *workdirs: pathlib.Path,
    out: pathlib.Path | None = None,
    read_images: ReadImages | None = None,
) -> pathlib.Path:
    """Writes the report of a study, or of several as if they were one.

    Args:
      *workdirs: folders of studies.
      out: folder for the report; the first study's own where it is left out.
      read_images: gives test images as JPEG thumbnails; asked only for those that no study has
        stored yet.

    Returns:
      Path of the page.

    Raises:
      MergeError: where a folder holds no finished run, or studies do not ask the same question.
    """
    merged = merge([read_study(pathlib.Path(workdir)) for workdir in workdirs])
    out = pathlib.Path(workdirs[0] if out is None else out)
    make_writable_folder(out)
    write_atomic(out / PAGE, render_report(gather_contents(merged, out, read_images)))
    dashboard.write(merged, out)
    return out / PAGE
