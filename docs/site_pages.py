"""The pages of the site that come from elsewhere in the repository: the hook that mkdocs.yml names.

In: README.md and its like, quickstart.ipynb, the programs, the packages of fine2coarse. Out:
Markdown pages for MkDocs. The same text reads well on the site and in a plain checkout: links
between files become links between pages, files that have no page become code, and a Python file or
name of ours in code (`runs/execution.py`, `fine2coarse.run_study`) links to its place in the API
pages.
"""

from __future__ import annotations

import ast
import os
import pathlib
import re
import textwrap
from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from fine2coarse.cli import commands, completion

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
    """Markdown of all commands: what each is for, how it is called, its flags."""
    parts = ["# Commands\n\n`fine2coarse COMMAND --help` says what each flag means."]
    for name, path in commands.programs().items():
        about = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        parts.append(f"## {name}")
        for block in about.split("\n\n"):
            is_code = block.lstrip().startswith(("fine2coarse ", "python "))
            parts.append(f"```bash\n{textwrap.dedent(block)}\n```" if is_code else block)
        flags = ", ".join(f"`--{flag}`" for flag in completion.flags_of(path))
        parts.append(f"Flags: {flags}")
    return "\n\n".join(parts) + "\n"


def api_pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of each API page: the modules beside the packages, then a page a package.

    A page begins with the package's docstring; then come its modules in the order of their
    names, public names only.
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
