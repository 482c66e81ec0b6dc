"""The table of throughputs, edited in a spreadsheet."""

from __future__ import annotations

import pytest

from fine2coarse.studies.throughput import COLUMNS, ThroughputError, read_throughputs

ROW = ["A100", "any", "vit", "160", "", "312", "0.44", "me"]


def written(tmp_path, cells, delimiter=";", encoding="utf-8"):
    path = tmp_path / "t.csv"
    lines = ["# hours; of one device", delimiter.join(COLUMNS), delimiter.join(cells)]
    path.write_text("\n".join(lines) + "\n", encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_as_a_spreadsheet_saves_it(tmp_path, encoding):
    found = read_throughputs(written(tmp_path, ROW, encoding=encoding))
    assert [(row.device, row.peak_tflops, row.utilisation) for row in found] == [
        ("A100", 312, 0.44)
    ]


@pytest.mark.parametrize(
    ("position", "cell", "message"),
    [
        (6, "0,44", "row 3: utilisation: expected a number above 0, with a point.* '0,44'"),
        (5, "nan", "row 3: peak_tflops: expected a number above 0"),
        (4, "-1", "row 3: images_per_second: expected a number above 0"),
        (3, "16.5", "row 3: min_image_size_px: expected a whole number, got '16.5'"),
        (6, "", "row 3: give images_per_second, or peak_tflops and utilisation"),
    ],
)
def test_a_cell_that_is_no_number_is_named(tmp_path, position, cell, message):
    cells = list(ROW)
    cells[position] = cell
    with pytest.raises(ThroughputError, match=message):
        read_throughputs(written(tmp_path, cells))


def test_another_encoding_is_named(tmp_path):
    path = written(tmp_path, [*ROW[:-1], "Müller"], encoding="cp1252")
    with pytest.raises(ThroughputError, match=r"t\.csv: row 3: is not UTF-8; .*'Müller'"):
        read_throughputs(path)
