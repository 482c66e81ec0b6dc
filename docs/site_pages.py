"""The pages of the site that come from elsewhere in the repository: the hook that mkdocs.yml names.

In: README.md and its like, quickstart.ipynb, the programs, the recipe's schema, the backbones, the
packages of fine2coarse. Out: Markdown pages for MkDocs. The same text reads well on the site and in
a plain checkout: links between files become links between pages, files that have no page become
code, and a Python file or name of ours in code (`runs/execution.py`, `fine2coarse.run_study`) links
to its place in the API pages.
"""

from __future__ import annotations

import ast
import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from fine2coarse import errors
from fine2coarse.cli import commands
from fine2coarse.labels.spec import SOURCES
from fine2coarse.recipes import backbone_list
from fine2coarse.recipes.dataset_options import DATASET_OPTIONS
from fine2coarse.recipes.field_list import RecipeField, list_fields, summary
from fine2coarse.recipes.label_card import LabelCard
from fine2coarse.recipes.recipe import Recipe

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_PACKAGE = _ROOT / "fine2coarse"
_NOTEBOOK = _ROOT / "docs" / "quickstart.ipynb"
# Files outside docs/ that are pages → their addresses.
_PAGES = {
    "README.md": "index.md",
    "BUILD.md": "build.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docs/quickstart.ipynb": "quickstart.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_MODULE_IN_CODE = re.compile(r"(?<!\[)`((?:fine2coarse/)?(?:\w+/)*\w+(?:\.py|/))`(?!\])")
_NAME_IN_CODE = re.compile(r"(?<!\[)`(fine2coarse(?:\.\w+)+)`(?!\])")
_FENCE = re.compile(r"^\s*(```|~~~)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made.

    Raises:
      nbclient.exceptions.CellExecutionError: where a cell of the notebook fails.
    """
    for source, address in _PAGES.items():
        if source.endswith(".md"):
            text = (_ROOT / source).read_text("utf-8")
            if address == "index.md":
                text = f"---\nhide: [navigation]\n---\n\n{text}"
            files.append(File.generated(config, address, content=text))
    _add_notebook(files, config, execute=bool(config.extra["run_notebook"]))
    files.append(File.generated(config, "commands.md", content=commands_page()))
    files.append(File.generated(config, "fields.md", content=fields_page()))
    files.append(File.generated(config, "backbones.md", content=backbones_page()))
    for name, text in api_pages():
        files.append(File.generated(config, f"api/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mends the links of a page; code blocks are left alone."""
    address = page.file.src_uri
    if address.startswith("api/"):
        return markdown
    by_address = {made: source for source, made in _PAGES.items()}
    folder = (_ROOT / by_address.get(address, f"docs/{address}")).parent
    lines, in_fence = [], False
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            in_fence = not in_fence
        elif not in_fence:
            line = _LINK.sub(lambda match: _mended(match, folder, address), line)
            line = _MODULE_IN_CODE.sub(_linked_module, line)
            line = _NAME_IN_CODE.sub(r"[`\1`][\1]", line)
        lines.append(line)
    return "\n".join(lines)


def commands_page() -> str:
    """Markdown of all commands: what each is for, how it is called, its flags, exit codes."""
    parts = [_COMMANDS_INTRODUCTION]
    programs = commands.programs()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        flags = dict(zip(programs, pool.map(flags_of, programs.values())))
    for name, path in programs.items():
        about = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        parts.append(f"## {name}")
        for block in about.split("\n\n"):
            is_code = block.lstrip().startswith(("fine2coarse ", "python "))
            parts.append(f"```bash\n{textwrap.dedent(block)}\n```" if is_code else block)
        if flags[name]:
            rows = [_flag_row(flag) for flag in flags[name]]
            parts.append(_stacked(("flag", "type", "default", "meaning"), rows))
    table = [line for line in errors.__doc__.splitlines() if line.startswith("|")]
    parts += ["## Exit codes", "\n".join(table)]
    return "\n\n".join(parts) + "\n"


_COMMANDS_INTRODUCTION = """# Commands

`fine2coarse COMMAND --help` shows a command's flags in a terminal. `--[no]wait` is switched on by
`--wait` and off by `--nowait`. A flag `--config` takes a recipe card; `--config.FIELD=VALUE` sets
any of its [fields](fields.md). Every command ends with one of the [exit codes](#exit-codes) below.
`fine2coarse completion bash` (or `zsh`) prints a script that completes commands and flags."""


# Defines a program's flags as its start does, and prints them instead of parsing any.
_PRINT_FLAGS = """
import json, runpy, sys
from absl import app, flags

def show(*_, **__):
    found = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    print(json.dumps([
        {"name": flag.name, "type": flag.flag_type(), "default": flag.default, "help": flag.help,
         "choices": getattr(flag.parser, "enum_values", None),
         "required": any("other than None" in check.message for check in flag.validators)}
        for flag in found
    ], default=str))

app.run = show
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def flags_of(program: pathlib.Path) -> list[dict[str, Any]]:
    """Name, type, default, help, choices of a program's flags, and whether each is required.

    Args:
      program: its source; a process of its own defines the flags, for those of all programs
        together would collide.
    """
    shown = subprocess.run(
        [sys.executable, "-c", _PRINT_FLAGS, str(program)],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(shown.stdout.splitlines()[-1])


def _flag_row(flag: Mapping[str, Any]) -> tuple[str, ...]:
    name, kind, default = flag["name"], flag["type"], flag["default"]
    if kind == "bool":
        name = f"[no]{name}"
    if flag["choices"]:
        kind = " \\| ".join(f"`{choice}`" for choice in flag["choices"])
    if isinstance(default, bool):
        default = "on" if default else "off"
    if isinstance(default, list):
        default = ",".join(map(str, default))
    told = "*required*" if flag["required"] else _code(default)
    meaning = re.sub(r"^<[^<>]+>: ", "", flag["help"])
    return (f"`--{name}`", _TYPES.get(kind, kind), told, _cell(meaning))


_TYPES = {
    "bool": "on or off",
    "comma separated list of strings": "names, with commas between",
    "config object": "a card",
    "string": "text",
}


def fields_page() -> str:
    """Markdown of every field of a recipe, by what holds it; then of the label space's card."""
    fields = list_fields(Recipe)
    parts = [_FIELDS_INTRODUCTION, _field_table(field for field in fields if "." not in field.name)]
    shown = [field for field in fields if not field.name.startswith(_REPEATED)]
    for places, rows in _alike([field for field in shown if not field.goes_with]):
        parts += [_section(2, places), _same(places), _field_table(rows)]
    options = [field for field in fields if field.goes_with]
    records = {**DATASET_OPTIONS, **SOURCES}
    for goes_with in dict.fromkeys([*DATASET_OPTIONS, *SOURCES]):
        of_it = [field for field in options if field.goes_with == goes_with]
        places = list(dict.fromkeys(field.name.rpartition(".")[0] for field in of_it))
        kind = "Dataset" if goes_with in DATASET_OPTIONS else "Label source"
        parts += [f"## {kind} {goes_with}", summary(records[goes_with])]
        if of_it:
            rows = [field for field in of_it if field.name.rpartition(".")[0] == places[0]]
            parts += [_same(places), _field_table(rows)]
    own = [field for field in list_fields(LabelCard) if not field.goes_with]
    parts += ["## The card of `fine2coarse label_space`", _LABEL_CARD_INTRODUCTION]
    parts.append(_field_table(own))
    return "\n\n".join(filter(None, parts)) + "\n"


_REPEATED = "transfer_choices.NAME.optimizer."  # as its row says
_FIELDS_INTRODUCTION = """# Recipe fields

Every field that a study's card, a flag or `fine2coarse.load_config` can set, made from the schema.
`fine2coarse fields` shows the same in a terminal: `fine2coarse fields pretrain.optimizer`, or
`fine2coarse fields warmup` for all that have the word in their names.

```
fine2coarse study --config=demo --workdir=runs/rate \\
  --config.pretrain.optimizer.learning_rate=0.05
```

NAME stands for a name of your own, as in `arms.fine.pretrain_steps`. *Operational* fields say how
or where, not what: no number depends on them, and they may change within a study."""
_LABEL_CARD_INTRODUCTION = """Set by flags of that command, as in `--config.sizes="(8, 16)"`. The
options of datasets and label sources are those above, under `dataset.options`, `label.options` and
`target.options`."""


def _alike(fields: Sequence[RecipeField]) -> Iterator[tuple[list[str], list[RecipeField]]]:
    """The fields below each field at the top; those of the same below several come once."""
    found: dict[tuple, tuple[list[str], list[RecipeField]]] = {}
    below = [field for field in fields if "." in field.name]
    for top, group in itertools.groupby(below, key=lambda field: field.name.partition(".")[0]):
        rows = list(group)
        key = tuple((row.name.partition(".")[2], row.default, row.meaning) for row in rows)
        found.setdefault(key, ([], rows))[0].append(top)
    yield from found.values()


def _section(level: int, places: Sequence[str]) -> str:
    return f"{'#' * level} {', '.join(f'`{place}`' for place in places)}"


def _same(places: Sequence[str]) -> str:
    others = ", ".join(f"`{place}`" for place in places[1:])
    return f"The same under {others}." if others else ""


def _field_table(fields: Iterable[RecipeField]) -> str:
    rows = []
    for field in fields:
        mark = " *Operational.*" if field.is_operational else ""
        default = {"required": "*required*", "none": "none"}.get(field.default)
        told = _code(field.default) if default is None else default
        rows.append((f"`{field.name}`", field.type, told, f"{_cell(field.meaning)}{mark}"))
    return _stacked(("field", "type", "default", "meaning"), rows)


def backbones_page() -> str:
    """Markdown of every backbone, its size and cost."""
    backbones = backbone_list.list_backbones()
    rows = [(f"`{name}`", *rest) for name, *rest in backbone_list.cells(backbones)]
    is_text = [number in backbone_list.TEXT_COLUMNS for number in range(len(rows[0]))]
    linked = [
        [re.sub(r"arXiv (\S+)", r"[\1](https://arxiv.org/abs/\1)", cell) for cell in row]
        for row in rows
    ]
    return "\n\n".join(
        [
            "---\nhide: [toc]\n---\n\n# Backbones",
            "What `backbone.name` takes; `backbone.image_size_px` is another size. "
            "`fine2coarse backbones` and `fine2coarse.list_backbones` give the same.",
            _classed("names", _table(backbone_list.HEADINGS, linked, is_text)),
            "\n".join(f"- {line}" for line in backbone_list.LEGEND),
        ]
    )


def _table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], is_text: Sequence[bool] = ()
) -> str:
    """A table; columns that are no text are set to the right."""
    rules = ["---" if text else "---:" for text in is_text or [True] * len(headings)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rules, *rows))


def _stacked(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells stand below each other on a telephone: see site.css."""
    return _classed("names stacked", _table(headings, rows))


def _classed(names: str, text: str) -> str:
    return f'<div class="{names}" markdown>\n\n{text}\n\n</div>'


def _code(value: Any) -> str:
    return "" if value in (None, "", "None") else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def api_pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of each API page: the modules beside the packages, then a page a package.

    A page begins with the package's docstring; then come its modules and the packages within it
    in the order of their names, public names only.
    """
    yield "fine2coarse", _api_page(_PACKAGE, _PACKAGE.glob("*.py"))
    for init in sorted(_PACKAGE.glob("*/__init__.py")):
        yield init.parent.name, _api_page(init.parent, init.parent.rglob("*.py"))


def _api_page(folder: pathlib.Path, modules: Iterator[pathlib.Path]) -> str:
    options = "    options: {members: false, show_root_heading: true, heading_level: 1}\n"
    parts = [f"::: {_dotted(folder)}\n{options}"]
    for module in sorted(modules):
        if not module.name.startswith("__"):
            options = "    options: {show_root_heading: true, heading_level: 2}\n"
            parts.append(f"::: {_dotted(module)}\n{options}")
        elif module.name == "__init__.py" and module.parent not in (folder, _PACKAGE):
            options = "    options: {members: false, show_root_heading: true, heading_level: 2}\n"
            parts.append(f"::: {_dotted(module.parent)}\n{options}")
    return "\n".join(parts)


def _dotted(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(_ROOT).with_suffix("").parts)


def _mended(match: re.Match[str], folder: pathlib.Path, address: str) -> str:
    """A link between files of the repository as one between pages, or its text alone."""
    mark, text, target = match.groups()
    path, _, anchor = target.partition("#")
    if not path or "://" in path:
        return match.group()
    file = pathlib.Path(os.path.normpath(folder / path))
    if not file.exists():
        return match.group()  # MkDocs warns
    inside = file.relative_to(_ROOT).as_posix()
    page = _PAGES.get(inside) or inside.removeprefix("docs/")
    if page == address and file == _NOTEBOOK:
        page = _NOTEBOOK.name  # for download, from its own page
    if inside not in _PAGES and not inside.startswith("docs/"):
        return text if text.startswith("`") or "/" not in text else f"`{text}`"
    relative = os.path.relpath(page, pathlib.PurePosixPath(address).parent)
    return f"{mark}[{text}]({relative}{'#' * bool(anchor)}{anchor})"


def _linked_module(match: re.Match[str]) -> str:
    """Code that names a Python file or package of ours, linked to its place in the API."""
    path = match[1].removeprefix("fine2coarse/")
    found = _PACKAGE / path / ("" if path.endswith(".py") else "__init__.py")
    if not path or "/" not in match[1] or not found.is_file():
        return match[0]
    dotted = _dotted(found).removesuffix(".__init__")
    return f"[`{match[1]}`][{dotted}]"


def _add_notebook(files: Files, config: MkDocsConfig, *, execute: bool) -> None:
    """Adds the notebook's page and the pictures that its cells show."""
    import nbformat
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExecutePreprocessor

    notebook = nbformat.read(_NOTEBOOK, as_version=4)
    if execute:
        ExecutePreprocessor(timeout=1200).preprocess(notebook, {})
        for cell in notebook.cells:
            if cell.cell_type == "code":  # without what libraries log; a failed cell ended it all
                cell.outputs = [made for made in cell.outputs if made.get("name") != "stderr"]
    text, resources = MarkdownExporter().from_notebook_node(notebook)
    # Tables look like the site's own, not like pandas'.
    text = re.sub(r"<style scoped>.*?</style>", "", text, flags=re.S)
    text = text.replace('<table border="1" class="dataframe">', "<table>")
    for name, content in resources.get("outputs", {}).items():
        files.append(File.generated(config, name, content=content))
    note = f"*This page is a notebook: [download it]({_NOTEBOOK.name}).*\n\n"
    heading, _, rest = text.lstrip().partition("\n")
    files.append(File.generated(config, "quickstart.md", content=f"{heading}\n\n{note}{rest}"))
