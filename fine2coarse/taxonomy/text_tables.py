"""Text files as people bring them: CSVs that a spreadsheet saved, lists of ids, JSON.

A file is read as it was meant or refused in one line that names the file, the row and a remedy.
"""

from __future__ import annotations

import codecs
import json
import os
import pathlib
import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from fine2coarse.taxonomy.taxonomy import TaxonomyError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

# UTF-32's mark begins with UTF-16's, so it comes first.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Soft hyphen, Mongolian vowel separator, zero-width characters, direction marks, word joiner and
# the byte-order mark: they are invisible.
_INVISIBLE = (
    "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\ufeff"
)
# Those without a use inside a word of any language.
_NEVER_INSIDE = "\u00ad\u200b\u2060\ufeff"
# Control characters, line and paragraph separators, halves of surrogate pairs.
_NO_TEXT = ("Cc", "Zl", "Zp", "Cs")

_LINE_END = re.compile(r"\r\n|\n|\r")
# The first line that tells Excel the delimiter; Excel does not show it as a row.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_SHOWN_CHARACTERS = 60
# How .xlsx (a zip) and .xls begin.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
# What to do with a file in another encoding: a table's rows, any other text's lines.
_SAVE = {
    "row": "save it in the spreadsheet as 'CSV UTF-8'",
    "line": "save it as UTF-8 in the program that wrote it",
}


class TableError(TaxonomyError):
    """A text file that cannot be read for certain as its writer meant it."""


def read_rows(data: bytes, where: str, *, comments: bool = False) -> list[list[str]]:
    """Reads a table with a header, as spreadsheets save it.

    UTF-8 (with or without a byte-order mark), UTF-16 and UTF-32 with one; any line ends; comma,
    semicolon or tab between cells, whichever the header has, or as the first line `sep=;` says.

    Args:
      data: the whole file.
      where: what errors call it: its path, `FOLDER: FILE` or `ARCHIVE: MEMBER`.
      comments: whether rows that begin with # are comments.

    Returns:
      Row `n` of the spreadsheet at position `n - 1`: cells without blanks at their ends, in
      Unicode's composed form. Blank rows and comments are empty lists. What is empty to the right
      of the header's last name, or below the last row, is left out.

    Raises:
      TableError: naming the row of what cannot be read for certain.
    """
    lines, delimiter = _lines_and_delimiter(_decoded(data, where, "row"), where)
    rows: list[list[str]] = []
    width = 0
    for number, line in enumerate(lines, start=1):
        is_comment = comments and line.lstrip(' "').startswith("#")
        if is_comment or not line.strip(" ,;\t"):
            rows.append([])
            continue
        place = f"{where}: row {number}"
        delimiter = delimiter or _delimiter_of(line, place)
        cells = [_checked(cell, place) for cell in _cells(line, delimiter, place)]
        width = width or len(_without_empty_end(cells))
        rows.append(cells[:width] + _without_empty_end(cells[width:]) if any(cells) else [])
    return _without_empty_end(rows)


def read_records(
    data: bytes, where: str, columns: Sequence[str], *, comments: bool = False
) -> list[tuple[int, dict[str, str]]]:
    """Reads a table as `read_rows` does.

    Args:
      data: see `read_rows`.
      where: see `read_rows`.
      columns: names that the header must have among its own.
      comments: see `read_rows`.

    Returns:
      For each row below the header its number in the spreadsheet, and its cells by column.

    Raises:
      TableError: also where a column is missing or repeats, or a row has more or fewer cells than
        the header.
    """
    rows = [(n, row) for n, row in enumerate(read_rows(data, where, comments=comments), 1) if row]
    header = rows[0][1] if rows else []
    if not set(columns) <= set(header) or len(set(header)) != len(header):
        raise TableError(
            f"{where}: expected the columns {', '.join(columns)}, each once; got "
            f"{', '.join(header) or 'none'}"
        )
    for number, row in rows[1:]:
        if len(row) != len(header):
            raise TableError(
                f"{where}: row {number}: expected {len(header)} cells ({', '.join(header)}), got "
                f"{len(row)}: {_shortened(str(row))}"
            )
    return [(number, dict(zip(header, row))) for number, row in rows[1:]]


def read_lines(data: bytes, where: str) -> list[str]:
    r"""Reads lines of text as they are, encoded as `read_rows` says, without their line ends.

    Lines end with \n, \r\n or \r alone, so that an id may hold any other character.

    Raises:
      TableError: naming the line that is not text.
    """
    lines = _LINE_END.split(_decoded(data, where, "line"))
    return lines[:-1] if not lines[-1] else lines


def read_text(data: bytes, where: str) -> str:
    """The text of a file, encoded as `read_rows` says.

    Raises:
      TableError: naming the line that is not text.
    """
    return _decoded(data, where, "line")


def parse_json(data: bytes, where: str) -> Any:
    """Reads JSON, encoded as `read_rows` says.

    Raises:
      TableError: where it is no JSON.
    """
    text = _decoded(data, where, "line")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise TableError(
            f"{where}: brackets within brackets, more than can be read; of a deep hierarchy write "
            "each class's parent, as an edge list"
        ) from error
    except ValueError as error:
        raise TableError(
            f"{where}: not JSON: {error}; if the file was cut off, copy or download it again"
        ) from error


def normalized(name: str) -> str:
    """The name in Unicode's composed form (NFC), without blanks and invisible ends.

    So a folder that macOS named matches the same name in a spreadsheet.
    """
    if name.isascii():
        return name.strip()
    return _without_blank_ends(unicodedata.normalize("NFC", name))


def character_problem(name: str) -> str:
    """What is wrong with a name's characters, such as 'holds the character U+200B'; else ''."""
    if name.isprintable():
        return ""
    for character in name:
        if character in _NEVER_INSIDE or unicodedata.category(character) in _NO_TEXT:
            label = unicodedata.name(character, "a control character")
            return f"holds the character U+{ord(character):04X} ({label})"
    return ""


def _without_blank_ends(text: str) -> str:
    before = None
    while text != before:
        before, text = text, text.strip().strip(_INVISIBLE)
    return text


def _without_empty_end(values: list) -> list:
    end = len(values)
    while end and not values[end - 1]:
        end -= 1
    return values[:end]


def _decoded(data: bytes, where: str, unit: str) -> str:
    """The text of a file; `unit` is what errors count, 'row' or 'line'."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "UTF-8")
    if encoding == "UTF-8" and b"\0" in data:
        raise TableError(_told_of_nul(data, where, unit))
    try:
        return data.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        if encoding == "UTF-8":
            told = _told_of_encoding(data, error.start, where, unit)
        else:
            told = (
                f"{where}: begins as {encoding}, but byte {error.start + 1} cannot be read as that "
                f"({error.reason}): it may be cut off; {_SAVE[unit]}"
            )
        raise TableError(told) from error


def _told_of_nul(data: bytes, where: str, unit: str) -> str:
    """One line on a file without a byte-order mark that holds NUL bytes."""
    if data.startswith(_WORKBOOKS):
        return f"{where}: is an archive or a spreadsheet's own format, not text; {_SAVE[unit]}"
    for encoding, low, high in (
        ("UTF-16LE", data[0::2], data[1::2]),
        ("UTF-16BE", data[1::2], data[0::2]),
    ):
        # In Western text the higher byte of nearly every character is zero.
        if 0 not in low and high.count(0) * 2 > len(high):
            return (
                f"{where}: looks like {encoding}, but has no byte-order mark; {_SAVE[unit]}, or "
                f"run: {_iconv(encoding, where)}"
            )
    number, _, _ = _line_at(data.decode("latin-1"), data.index(0))
    return (
        f"{where}: {unit} {number}: holds a NUL byte, so the file is damaged or no text; copy it "
        f"again, or {_SAVE[unit]}"
    )


def _told_of_encoding(data: bytes, position: int, where: str, unit: str) -> str:
    """One line on a file that is not UTF-8, which fails at `position`."""
    # Latin-1 gives every byte a character of its own, so positions stay what they are.
    text = data.decode("latin-1")
    number, line, column = _line_at(text, position)
    if unit == "row":
        lines, delimiter = _lines_and_delimiter(text, where)
        number -= bool(delimiter)
        line = _cell_at(line, column, delimiter or (_signs_in(lines[0]) or [","])[0])
    else:
        line = line[max(0, column - _SHOWN_CHARACTERS // 2) :]
    try:
        reading = line.encode("latin-1").decode("cp1252")
    except UnicodeDecodeError:
        return (
            f"{where}: {unit} {number}: {_shortened(repr(line.encode('latin-1')))} is neither "
            f"UTF-8 nor Windows-1252; {_SAVE[unit]}"
        )
    return (
        f"{where}: {unit} {number}: is not UTF-8; as Windows-1252 it reads "
        f"{_shortened(repr(reading))}; {_SAVE[unit]}, or, if that reading is right, run: "
        f"{_iconv('WINDOWS-1252', where)}"
    )


def _iconv(encoding: str, where: str) -> str:
    """The command that makes a file UTF-8 in its place and keeps the old one beside it."""
    container, _, name = where.rpartition(": ")
    # `where` need not be a path at all, so the files are asked for by os.path, which never raises.
    path = next(filter(os.path.isfile, (where, os.path.join(container, name))), "")  # noqa: PTH118
    prefix = "" if path else "(on the file alone, out of its archive) "
    path = path or pathlib.PurePosixPath(name).name
    file, kept = shlex.quote(path), shlex.quote(f"{path}.orig")
    return f"{prefix}mv {file} {kept} && iconv -f {encoding} -t UTF-8 {kept} > {file}"


def _line_at(text: str, position: int) -> tuple[int, str, int]:
    """Number of the line that holds a position, the line, and the position in it."""
    before = _LINE_END.split(text[:position])
    rest = _LINE_END.split(text[position:], maxsplit=1)[0]
    return len(before), before[-1] + rest, len(before[-1])


def _cell_at(line: str, column: int, delimiter: str) -> str:
    before, rest = line[:column], line[column:]
    cell = before.rpartition(delimiter)[2] + rest.partition(delimiter)[0]
    return cell.strip().strip('"')


def _lines_and_delimiter(text: str, where: str) -> tuple[list[str], str]:
    """The rows' lines, and the delimiter that a first line `sep=;` names, else ''."""
    lines = _LINE_END.split(text)
    match = _SEPARATOR_LINE.fullmatch(lines[0])
    if not match:
        return lines, ""
    if match[1] not in DELIMITERS:
        raise TableError(
            f"{where}: its first line, {lines[0]!r}, names a delimiter that is none of "
            f"{_named(DELIMITERS)}; {_SAVE['row']}"
        )
    return lines[1:], match[1]


def _signs_in(header: str) -> list[str]:
    """The delimiters in a header, those in quotes left out."""
    outside = re.sub(r'"[^"]*"', "", header)
    return [sign for sign in DELIMITERS if sign in outside]


def _delimiter_of(header: str, place: str) -> str:
    signs = _signs_in(header)
    if len(signs) > 1:
        raise TableError(
            f"{place}: the header holds {_named(signs)}, so it is not certain what stands between "
            f"cells: {_shortened(repr(header))}; put a name that holds one in double quotes, or "
            f"put a line sep={signs[0]} (or sep={signs[1]}) before the header"
        )
    return signs[0] if signs else ","


def _named(signs: Iterable[str]) -> str:
    names = [DELIMITERS[sign] for sign in signs]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _cells(line: str, delimiter: str, place: str) -> list[str]:
    """The cells of a line; quotes stand around a whole cell and double inside it, or nowhere."""
    if '"' not in line:
        return line.split(delimiter)
    # Possessive repeats (*+, ++) never go back, so a lone quote costs no more than a good row.
    cell = re.compile(rf' *+(?:"((?:[^"]++|"")*+)" *+|([^"{delimiter}]*+))({delimiter}|\Z)')
    found: list[str] = []
    position = 0
    while True:
        match = cell.match(line, position)
        if match is None:
            raise TableError(
                f"{place}: a double quote opens or closes in the middle of a cell, or is not "
                f"closed in its row: {_shortened(repr(line[position:]))}; remove the quote or the "
                'line break in the cell, or write a quote that belongs to a name as "5"" pot"'
            )
        quoted, plain, end = match.groups()
        found.append(plain if quoted is None else quoted.replace('""', '"'))
        if not end:
            return found
        position = match.end()


def _checked(cell: str, place: str) -> str:
    name = normalized(cell)
    problem = character_problem(name)
    if problem:
        raise TableError(f"{place}: {name!r} {problem}; delete it, or type the cell again")
    return name


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
