"""Self-contained HTML pages: text, tables and pictures in one file, no network, no script.

All HTML stands in `templates/`. There, text is escaped wherever it is put in, and a name that was
not given is an error. The functions here make the parts of a page; what they return is marked as
HTML, so that it is not escaped again.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import jinja2
from markupsafe import Markup

_TEMPLATES = pathlib.Path(__file__).with_name("templates")
_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what stands under it; empty parts are left out."""

    heading: str
    parts: Sequence[Markup]


@dataclasses.dataclass(frozen=True)
class GalleryPicture:
    """A small picture of a gallery.

    Attributes:
      path: PNG or JPEG file.
      alt: a description of what it shows.
      lines: of its caption: plain text, and a class: 'truth', 'right' or 'wrong'.
    """

    path: pathlib.Path
    alt: str
    lines: Sequence[tuple[str, str]]


def render(template: str, **values: object) -> str:
    """A whole page as text.

    Args:
      template: name of a file in `templates/`.
      **values: what that template shows; plain text and numbers are escaped.

    Raises:
      jinja2.UndefinedError: where the template needs something that was not given.
    """
    return _ENVIRONMENT.get_template(template).render(values)


def heading(text: str, level: int = 2) -> Markup:
    """A section's heading; those of level 2 can be linked to from the contents."""
    return _part("heading", text, level)


def paragraph(text: str, css_class: str = "") -> Markup:
    """A paragraph of plain text; `css_class` may be 'answer', 'note' or 'warning'."""
    return _part("paragraph", text, css_class)


def bullets(texts: Sequence[str]) -> Markup:
    """A list of plain texts."""
    return _part("bullets", texts)


def facts(pairs: Mapping[str, object]) -> Markup:
    """Names and what they are, side by side."""
    return _part("facts", pairs)


def preformatted(text: str) -> Markup:
    """Text as it is: a command, a recipe."""
    return _part("preformatted", text)


def folded(summary: str, *parts: Markup) -> Markup:
    """Parts that open on a click, under a summary of plain text."""
    return _part("folded", summary, parts)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    label: str = "table",
    row_classes: Sequence[str] = (),
    text_columns: Sequence[int] = (),
) -> Markup:
    """A table of plain text; one too wide for the window scrolls in a box of its own.

    Args:
      columns: headings.
      rows: cells, as many a row as there are columns; the first one names its row.
      caption: what the table shows.
      label: its name for those who cannot see it.
      row_classes: 'best', 'baseline' or '' for each row; none where empty.
      text_columns: those of words, set to the left; the first one always is.

    Raises:
      ValueError: where a row has another number of cells than there are columns, or there are
        other numbers of rows and of their classes.
    """
    uneven = [row for row in rows if len(row) != len(columns)]
    if uneven:
        raise ValueError(f"expected {len(columns)} cells a row, got {uneven[0]}")
    if row_classes and len(row_classes) != len(rows):
        raise ValueError(f"expected a class for each of {len(rows)} rows, got {row_classes}")
    return _part("table", columns, rows, caption, label, row_classes, text_columns)


def figure(
    path: str | os.PathLike,
    *,
    alt: str,
    caption: str = "",
    narrow: str | os.PathLike | None = None,
) -> Markup:
    """A PNG, SVG or JPEG file, embedded.

    Args:
      path: of the file.
      alt: a description of what it shows.
      caption: under it.
      narrow: the same picture for the width of a telephone.
    """
    return _part("figure", path, alt, caption, narrow)


def gallery(pictures: Sequence[GalleryPicture]) -> Markup:
    """Small pictures in a grid, embedded."""
    return _part("gallery", pictures)


def _part(name: str, *arguments: object) -> Markup:
    return getattr(_ENVIRONMENT.get_template("parts.html").module, name)(*arguments)


def _data_uri(path: str | os.PathLike) -> str:
    path = pathlib.Path(path)
    data = base64.b64encode(path.read_bytes()).decode()
    return f"data:{_MEDIA_TYPES[path.suffix]};base64,{data}"


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"anchor": _anchor, "data_uri": _data_uri}
    return environment


_ENVIRONMENT = _environment()
