"""Text tables as spreadsheets save them: read as meant, or refused with row and remedy."""

from __future__ import annotations

import subprocess
import time

import pytest

from fine2coarse.taxonomy import TaxonomyError, read_csv, read_inat2021, wordnet
from fine2coarse.taxonomy.csv_reader import from_bytes, from_rows
from fine2coarse.taxonomy.text_tables import (
    TableError,
    normalized,
    parse_json,
    read_lines,
    read_records,
    read_rows,
)

TABLE = "species,group\nash,tree\noak,Bäume\n"
ROWS = [["species", "group"], ["ash", "tree"], ["oak", "Bäume"]]
COMPOSED, DECOMPOSED = "\u00c4pfel", "A\u0308pfel"


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        b"\xfe\xff" + TABLE.encode("utf-16-be"),
        TABLE.encode("utf-32"),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\r").encode(),
        TABLE.removesuffix("\n").encode(),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        ("sep=;\r\n" + TABLE.replace(",", ";")).encode(),
        ("sep=\t\n" + TABLE.replace(",", "\t")).encode("utf-16"),
        (TABLE.replace("\n", ",,\n") + ",,,\n\n , \n").encode(),
        b'"species" , "group"\nash, "tree" \n' + "oak\u200b,\u00a0Bäume\ufeff\n".encode(),
        TABLE.replace("ä", "a\u0308").encode(),
    ],
    ids=[
        "utf-8",
        "mark",
        "utf-16",
        "utf-16-be",
        "utf-32",
        "crlf",
        "old mac",
        "no last end",
        "semicolon",
        "tab",
        "sep line",
        "sep line, tab",
        "empty columns and rows",
        "quotes, blanks, invisible ends",
        "decomposed",
    ],
)
def test_every_way_a_spreadsheet_saves_a_table(data):
    assert read_rows(data, "t.csv") == ROWS


def test_rows_keep_the_spreadsheets_numbers():
    rows = read_rows(b"\na,b\n\nc,d\n,\n", "t.csv")
    assert rows == [[], ["a", "b"], [], ["c", "d"]]
    commented = b'# note, with a comma\n"# ""and"" quotes",\na,b\nc,\n'
    assert read_rows(commented, "t.csv", comments=True) == [[], [], ["a", "b"], ["c", ""]]


def test_quotes_around_delimiters_and_quotes():
    text = 'species;group\n"a;b, ""c""";tree\n""; x\n'
    assert read_rows(text.encode(), "t.csv")[1:] == [['a;b, "c"', "tree"], ["", "x"]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TABLE.encode("cp1252"), r"row 3: is not UTF-8; as Windows-1252 it reads 'Bäume'; save it"),
        ("sep=;\na;b\nc;ä,ß\n".encode("cp1252"), r"row 2: .* reads 'ä,ß'"),
        (b"a,b\nc,\x81d\n", r"row 2: b'\\x81d' is neither UTF-8 nor Windows-1252; save it"),
        (TABLE.encode("utf-16")[:-1], "begins as UTF-16, but byte 67 .*truncated"),
        (b"a,b\nc\0,d\n", "row 2: holds a NUL byte"),
        (b"PK\x03\x04\x14\0", "a spreadsheet's own format, not text; save it .* 'CSV UTF-8'"),
        (b"a;x,b\nc,d\n", "row 1: the header holds comma and semicolon.* a line sep=,"),
        (b"sep=|\na|b\n", "names a delimiter that is none of comma, semicolon and tab"),
        (b'a,b\n"c,d\ne,f\n', "row 2: a double quote .*: '\"c,d'"),
        (b'a,b\n"c\nd",e\n', "row 2: a double quote .* or the line break in the cell"),
        (b'a,b\n5" pot,e\n', "row 2: a double quote"),
        (b'a,b\n"c"d,e\n', "row 2: a double quote"),
        (b'a,b\n"\nc,d\n', "row 2: a double quote"),
        ("a,b\nc,d\u200be\n".encode(), r"row 2: .*U\+200B \(ZERO WIDTH SPACE\)"),
        (b"a,b\nc,d\x07e\n", r"row 2: .*U\+0007"),
    ],
)
def test_what_is_refused_names_file_and_row_in_one_line(data, message):
    with pytest.raises(TableError, match=message) as error:
        read_rows(data, "my table.csv")
    assert str(error.value).startswith("my table.csv: ") and "\n" not in str(error.value)


def test_a_lone_quote_in_a_long_file_is_found_at_once():
    rows = "".join(f"species number {index},tree\n" for index in range(50_000))
    started = time.process_time()
    with pytest.raises(TaxonomyError, match="row 2: a double quote"):
        from_bytes(f'species,group\n"elm,tree\n{rows}'.encode(), "t.csv")
    long_cell = b"a,b\n" + b" " * 200_000 + b'"x,y\n'
    with pytest.raises(TableError, match="row 2: a double quote"):
        read_rows(long_cell, "t.csv")
    assert time.process_time() - started < 2
    assert len(read_rows(b"a,b\n" + b"x" * 200_000 + b",y\n", "t.csv")[1][0]) == 200_000


def test_the_remedies_for_an_uncertain_delimiter_work():
    assert read_rows(b'"a;x",b\nc,d\n', "t.csv") == [["a;x", "b"], ["c", "d"]]
    assert read_rows(b"sep=,\na;x,b\nc,d\n", "t.csv") == [["a;x", "b"], ["c", "d"]]
    assert read_rows(b"sep=;\na;x,b\nc;d\n", "t.csv") == [["a", "x,b"], ["c", "d"]]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("called", ["path", "folder: file"])
def test_the_iconv_command_of_the_error_makes_the_file_readable(tmp_path, encoding, called):
    path = tmp_path / "my photos" / "taxonomy.csv"
    path.parent.mkdir()
    path.write_bytes(TABLE.encode(encoding))
    where = str(path) if called == "path" else f"{path.parent}: {path.name}"
    with pytest.raises(TableError) as error:
        read_rows(path.read_bytes(), where)
    command = str(error.value).rpartition("run: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert read_rows(path.read_bytes(), where) == ROWS
    assert path.with_name("taxonomy.csv.orig").read_bytes() == TABLE.encode(encoding)


def test_the_command_for_an_archives_member_names_the_member():
    with pytest.raises(TableError, match=r"out of its archive\) mv taxonomy.csv taxonomy.csv.orig"):
        read_rows(TABLE.encode("cp1252"), "photos.tar: x/taxonomy.csv")


def test_names_are_composed_and_stripped():
    assert normalized(f" \ufeff{DECOMPOSED}\u200b\u00a0\u200b") == COMPOSED
    assert normalized("a\u200db") == "a\u200db"  # a joiner has its use inside words and emoji


def test_leaves_that_differ_only_in_unicode_form_are_one():
    table = f"fine,coarse\n{DECOMPOSED},a\nash,a\n{COMPOSED},b\n"
    with pytest.raises(TaxonomyError, match=r"row 4: fine 'Äpfel' has two parents.*row 2.*form"):
        from_bytes(table.encode(), "t.csv")
    with pytest.raises(TaxonomyError, match="row 3: class 'Äpfel' repeats"):
        from_rows([["class"], [DECOMPOSED], [COMPOSED]])


def test_a_header_below_blank_rows_is_named_by_its_row():
    with pytest.raises(TaxonomyError, match="row 2: level names must be distinct"):
        from_bytes(b"\na,a\nx,y\n", "t.csv")


def test_a_taxonomy_from_a_file_and_from_its_bytes(tmp_path):
    path = tmp_path / "taxonomy.csv"
    path.write_bytes(TABLE.replace(",", ";").encode("utf-16"))
    assert read_csv(path).leaf_ids == ("tree/ash", "Bäume/oak")
    assert from_bytes(path.read_bytes(), "x").fingerprint == read_csv(path).fingerprint


def test_records_by_column_and_row():
    found = read_records(b"\nid;name\n1;x\n\n2;y\n", "t.csv", ("name",))
    assert found == [(3, {"id": "1", "name": "x"}), (5, {"id": "2", "name": "y"})]
    with pytest.raises(TableError, match="expected the columns size, each once; got id, name"):
        read_records(b"id;name\n1;x\n", "t.csv", ("size",))
    with pytest.raises(TableError, match="row 3: expected 2 cells"):
        read_records(b"id;name\n1;x\n2;y;z\n", "t.csv", ("name",))


def test_lines_end_at_line_ends_alone():
    assert read_lines("a\x0bb\u2028c\r\nd e \rf\n".encode(), "x") == ["a\x0bb\u2028c", "d e ", "f"]
    assert read_lines("ä\n\n".encode("utf-16"), "x") == ["ä", ""]
    assert read_lines(b"", "x") == []
    with pytest.raises(TableError, match=r"ids\.txt: line 2: .*reads 'ä'; save it as UTF-8"):
        read_lines(b"a\n\xe4\n", "ids.txt")


def test_json_that_is_none():
    assert parse_json('{"ä": 1}'.encode("utf-8-sig"), "x.json") == {"ä": 1}
    for data in (b"{", b"", b"[" * 100_000, "{'ä': 1}".encode("cp1252"), b"\x1f\x8b\x08\0"):
        with pytest.raises(TableError, match=r"^x\.json: ") as error:
            parse_json(data, "x.json")
        assert "\n" not in str(error.value)


HEADER = "id;name;supercategory;kingdom;phylum;class;order;family;genus"


def test_inat2021_from_a_spreadsheets_table(tmp_path):
    path = tmp_path / "categories.csv"
    path.write_text(f"{HEADER};\n7;Pieris rapae;Insects;k;p;c;o;f;Pieris;\n", "utf-16")
    assert read_inat2021(path).leaf_ids == ("k/p/c/o/f/Pieris/Pieris rapae",)
    path.write_text("id,name\n7,x\n", "utf-8")
    with pytest.raises(TaxonomyError, match=r"categories\.csv: expected the columns id, kingdom"):
        read_inat2021(path)


@pytest.mark.parametrize(
    "data",
    [b"\xff", b"{", b"7", b'"x"', b"{}", b'{"categories": {}}', b'{"categories": [3]}',
     b'{"categories": [{"id": 1e999}]}', b'{"categories": [{"id": 1, "kingdom": "\\ud800"}]}'],
)  # fmt: skip
def test_inat2021_names_the_file_that_is_no_list_of_categories(tmp_path, data):
    path = tmp_path / "train.json"
    path.write_bytes(data)
    with pytest.raises(TaxonomyError, match=r"train\.json: ") as error:
        read_inat2021(path)
    assert "\n" not in str(error.value)


def test_synset_lists_of_a_windows_editor(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes("n02084071\r\nn02121808\u00a0 # cat\r\n".encode("utf-16"))
    assert wordnet.read_synset_list(path) == ["n02084071", "n02121808"]
    path.write_bytes(b"n02084071\n# B\xe4ume\n")
    with pytest.raises(TaxonomyError, match=r"ids\.txt: line 2: .*'# Bäume'"):
        wordnet.read_synset_list(path)
