"""Self-contained HTML pages: text, tables and pictures in one file, no network, no script."""

from __future__ import annotations

import base64
import html
import os
import pathlib
from collections.abc import Sequence

_STYLE = """
:root { color-scheme: light; --ink: #1d2329; --soft: #5b6670; --line: #d9dee3; --accent: #00527a; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; color: var(--ink);
  background: #fff; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
.answer { font-size: 1.15rem; border-left: 4px solid var(--accent); padding: .3rem 0 .3rem .9rem; }
.note, figcaption { color: var(--soft); font-size: .9rem; }
figure { margin: 1rem 0; }
figure img { display: block; width: 100%; height: auto; max-width: 54rem; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem .35rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tr.best td { font-weight: 650; background: #eef6fa; }
tr.baseline td { color: var(--accent); }
pre { background: #f5f7f9; padding: .8rem; font-size: .85rem; white-space: pre-wrap;
  overflow-wrap: anywhere; border-radius: 4px; }
code { background: #f5f7f9; padding: 0 .2em; border-radius: 3px; overflow-wrap: anywhere; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--accent); }
@media print { body { max-width: none; } h2, figure, tr { break-inside: avoid; } }
"""


def render(title: str, sections: Sequence[str], *, language: str = "en") -> str:
    """The page as text: a heading, then the sections (HTML) one after the other."""
    name = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str, css_class: str = "") -> str:
    """A paragraph of plain text; `css_class` may be 'answer' or 'note'."""
    attribute = f' class="{css_class}"' if css_class else ""
    return f"<p{attribute}>{html.escape(text)}</p>"


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
    row_classes: Sequence[str] = (),
) -> str:
    """A table of plain text.

    Args:
      columns: headings.
      rows: cells, as many a row as there are columns.
      caption: what the table shows.
      row_classes: 'best', 'baseline' or '' for each row; none where empty.

    Raises:
      ValueError: where a row has another number of cells than there are columns.
    """
    uneven = [row for row in rows if len(row) != len(columns)]
    if uneven:
        raise ValueError(f"expected {len(columns)} cells a row, got {uneven[0]}")
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    classes = list(row_classes) or [""] * len(rows)
    body = "".join(
        f'<tr class="{css_class}">'
        + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row)
        + "</tr>\n"
        for row, css_class in zip(rows, classes, strict=True)
    )
    title = f'<p class="note">{html.escape(caption)}</p>' if caption else ""
    return (
        f'{title}<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def figure(png_path: str | os.PathLike, *, alt: str, caption: str = "") -> str:
    """A PNG file, embedded; `alt` says in words what it shows."""
    data = base64.b64encode(pathlib.Path(png_path).read_bytes()).decode()
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">{text}</figure>'
    )


def write(path: str | os.PathLike, text: str) -> None:
    """Writes text to a file, whole or not at all."""
    path = pathlib.Path(path)
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
