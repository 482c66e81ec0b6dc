"""Self-contained HTML pages: text, tables and pictures in one file, no network, no script."""

from __future__ import annotations

import base64
import html
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

_STYLE = pathlib.Path(__file__).with_name("style.css")
_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


def render(
    title: str,
    sections: Sequence[str],
    *,
    language: str = "en",
    contents: Sequence[str] = (),
    footer: str = "",
) -> str:
    """The page as text: a heading, then the sections (HTML) one after the other.

    Args:
      title: of the page.
      sections: HTML.
      language: of the text, as in BCP 47.
      contents: texts of the headings that the list of contents links to; none where empty.
      footer: plain text at the end.
    """
    name = html.escape(title)
    links = "".join(f'<li><a href="#{_anchor(h)}">{html.escape(h)}</a></li>' for h in contents)
    navigation = f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n' if links else ""
    ending = f"<footer>{html.escape(footer)}</footer>\n" if footer else ""
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{name}</title>\n<style>\n{_STYLE.read_text('utf-8')}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the answer</a>\n'
        f"<header><h1>{name}</h1>\n{navigation}</header>\n"
        '<main id="main" tabindex="-1">\n'
        + "\n".join(section for section in sections if section)
        + f"\n</main>\n{ending}</body>\n</html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """A section's heading; those of level 2 can be linked to from the contents."""
    identity = f' id="{_anchor(text)}"' if level == 2 else ""
    return f"<h{level}{identity}>{html.escape(text)}</h{level}>"


def paragraph(text: str, css_class: str = "") -> str:
    """A paragraph of plain text; `css_class` may be 'answer', 'note' or 'warning'."""
    attribute = f' class="{css_class}"' if css_class else ""
    return f"<p{attribute}>{html.escape(text)}</p>"


def bullets(texts: Sequence[str]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>"


def facts(pairs: Mapping[str, object]) -> str:
    """Names and what they are, side by side."""
    rows = (f"<dt>{html.escape(k)}</dt><dd>{html.escape(str(v))}</dd>" for k, v in pairs.items())
    return '<dl class="facts">' + "".join(rows) + "</dl>"


def preformatted(text: str) -> str:
    """Text as it is: a command, a recipe."""
    return f"<pre>{html.escape(text)}</pre>"


def folded(summary: str, body: str) -> str:
    """HTML that opens on a click, under a summary of plain text."""
    return f"<details><summary>{html.escape(summary)}</summary>{body}</details>"


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    label: str = "table",
    row_classes: Sequence[str] = (),
    text_columns: Sequence[int] = (),
) -> str:
    """A table of plain text; one too wide for the window scrolls in a box of its own.

    Args:
      columns: headings.
      rows: cells, as many a row as there are columns; the first one names its row.
      caption: what the table shows.
      label: its name for those who cannot see it.
      row_classes: 'best', 'baseline' or '' for each row; none where empty.
      text_columns: those of words, set to the left; the first one always is.

    Raises:
      ValueError: where a row has another number of cells than there are columns.
    """
    uneven = [row for row in rows if len(row) != len(columns)]
    if uneven:
        raise ValueError(f"expected {len(columns)} cells a row, got {uneven[0]}")
    words = dict.fromkeys(text_columns, ' class="words"')
    head = "".join(
        f'<th scope="col"{words.get(position, "")}>{html.escape(column)}</th>'
        for position, column in enumerate(columns)
    )
    classes = list(row_classes) or [""] * len(rows)
    body = "".join(_row(row, words, name) for row, name in zip(rows, classes, strict=True))
    title = f'<p class="note">{html.escape(caption)}</p>' if caption else ""
    return (
        f'{title}<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(label)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _row(cells: Sequence[object], words: Mapping[int, str], css_class: str) -> str:
    first, *others = (html.escape(str(cell)) for cell in cells)
    attribute = f' class="{css_class}"' if css_class else ""
    rest = "".join(f"<td{words.get(n, '')}>{cell}</td>" for n, cell in enumerate(others, start=1))
    return f'<tr{attribute}><th scope="row">{first}</th>{rest}</tr>\n'


def figure(
    path: str | os.PathLike,
    *,
    alt: str,
    caption: str = "",
    narrow: str | os.PathLike | None = None,
) -> str:
    """A PNG, SVG or JPEG file, embedded.

    Args:
      path: of the file.
      alt: says in words what it shows.
      caption: under it.
      narrow: the same picture for the width of a telephone.
    """
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    shown = image(path, alt=alt)
    if narrow is not None:
        source = f'<source media="(max-width: 480px)" srcset="{_data_uri(narrow)}">'
        shown = f"<picture>{source}{shown}</picture>"
    return f"<figure>{shown}{text}</figure>"


def image(path: str | os.PathLike, *, alt: str) -> str:
    """A picture alone, embedded."""
    return f'<img src="{_data_uri(path)}" alt="{html.escape(alt)}">'


def _data_uri(path: str | os.PathLike) -> str:
    path = pathlib.Path(path)
    data = base64.b64encode(path.read_bytes()).decode()
    return f"data:{_MEDIA_TYPES[path.suffix]};base64,{data}"


def gallery(pictures: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> str:
    """Small pictures in a grid.

    Args:
      pictures: for each, its HTML (see `image`) and the lines of its caption: plain text, and a
        class: 'truth', 'right' or 'wrong'.
    """
    items = []
    for shown, lines in pictures:
        spans = "".join(f'<span class="{kind}">{html.escape(text)}</span>' for text, kind in lines)
        items.append(f"<li><figure>{shown}<figcaption>{spans}</figcaption></figure></li>")
    return '<ul class="gallery">' + "\n".join(items) + "</ul>"


def write(path: str | os.PathLike, text: str) -> None:
    """Writes text as UTF-8, whole or not at all; what UTF-8 has no bytes for is escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file, whole or not at all."""
    path = pathlib.Path(path) if isinstance(path, str) else path
    partial = path.with_name(path.name + ".tmp")
    partial.write_bytes(content)
    partial.replace(path)


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
