"""The pages: links, files they name, the site's list of pages, the notebook, README's commands."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PAGES = (*sorted(_ROOT.glob("*.md")), *sorted((_ROOT / "docs").glob("*.md")))
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_TREE = re.compile(r"(?:fine2coarse|launch|configs|tests|benchmarks|docs)/[\w./*-]*(?:/|\.\w+)")
# As pages abbreviate them: without `fine2coarse/`.
_IN_PACKAGE = re.compile(r"(?:[a-z_0-9]+/)+[a-z_0-9]+\.py")
_NOTEBOOK = _ROOT / "docs" / "quickstart.ipynb"


def prose(text: str) -> Iterator[str]:
    """Lines outside of fenced code."""
    is_code = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield line


def anchors(page: pathlib.Path) -> set[str]:
    """Of a page's headings, as GitHub and MkDocs make them."""
    headings = (line.lstrip("# ") for line in prose(page.read_text("utf-8")) if line[:1] == "#")
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def dead_links(page: pathlib.Path, text: str) -> list[str]:
    """Links of a page's text to files or headings that are not there."""
    dead = []
    for line in prose(text):
        for target in _LINK.findall(line):
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            if "://" in target:
                continue
            if not file.exists() or (anchor and anchor not in anchors(file)):
                dead.append(target)
    return dead


def missing_files(text: str) -> list[str]:
    """Files and folders of the repository that a text names and that are not there."""
    named = (path for line in prose(text) for code in _CODE.findall(line) for path in code.split())
    missing = []
    for path in (path for path in named if "NAME" not in path):
        folder = _ROOT if _TREE.fullmatch(path) else _ROOT / "fine2coarse"
        is_ours = folder == _ROOT or _IN_PACKAGE.fullmatch(path)
        if is_ours and not list(folder.glob(path.rstrip("/"))):
            missing.append(path)
    return missing


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_and_files_of_a_page(page):
    text = page.read_text("utf-8")
    assert dead_links(page, text) == []
    assert missing_files(text) == []


def test_the_checks_find_what_is_wrong():
    readme = _ROOT / "README.md"
    text = "[a](docs/no.md) [b](docs/hub.md#no-heading) [c](docs/hub.md#in-keras-3) [d](#more)"
    assert dead_links(readme, text) == ["docs/no.md", "docs/hub.md#no-heading"]
    text = (
        "`fine2coarse/no.py` `labels/no.py` `labels/space.py` `configs/paper_*.py` `tests/no_*.py`"
    )
    assert missing_files(text) == ["fine2coarse/no.py", "labels/no.py", "tests/no_*.py"]


def test_the_site_has_an_api_page_for_each_package():
    nav = set(re.findall(r"api/(\w+)\.md", (_ROOT / "mkdocs.yml").read_text("utf-8")))
    packages = {path.parent.name for path in (_ROOT / "fine2coarse").glob("*/__init__.py")}
    assert nav == packages | {"fine2coarse"}


def test_the_site_begins_with_the_first_hour():
    nav = (_ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    assert nav.splitlines()[0].strip() == "- First hour: first_hour.md"


def test_the_notebook_is_stored_without_outputs():
    cells = json.loads(_NOTEBOOK.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_readme_begins_with_the_two_commands_that_ci_runs():
    first, second = re.findall(
        r"^```bash\n(.*?)^```", _ROOT.joinpath("README.md").read_text("utf-8"), re.M | re.S
    )[:2]
    assert "--config=demo --workdir=runs/demo" in first and "pytest" in second
    assert first.count("\n") == second.count("\n") == 1


def test_links_of_a_page_on_the_site():
    pytest.importorskip("mkdocs")
    import importlib.util
    import types

    spec = importlib.util.spec_from_file_location("site_pages", _ROOT / "docs" / "site_pages.py")
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)

    def on_site(address: str, text: str) -> str:
        page = types.SimpleNamespace(file=types.SimpleNamespace(src_uri=address))
        return site.on_page_markdown(text, page, None, None)

    assert on_site("index.md", "[a](docs/hub.md#x) ![b](docs/images/demo.png)") == (
        "[a](hub.md#x) ![b](images/demo.png)"
    )
    assert on_site("studies.md", "[README](../README.md)") == "[README](index.md)"
    assert on_site("studies.md", "[configs/demo.py](../configs/demo.py)") == "`configs/demo.py`"
    assert on_site("labels.md", "`labels/space.py`") == (
        "[`labels/space.py`][fine2coarse.labels.space]"
    )
    assert on_site("hub.md", "`fine2coarse.run_study`") == (
        "[`fine2coarse.run_study`][fine2coarse.run_study]"
    )
    assert on_site("labels.md", "```\n`labels/space.py`\n```") == "```\n`labels/space.py`\n```"


# Words that the field has others for: reference, estimated, overfit, mock, more expensive.
_AVOIDED = re.compile(
    r"\b(the other side|both sides|reckon\w*|by heart|pretend\w*|dearer|told apart|one's own)\b"
)


def test_words_that_are_avoided():
    folders = (_ROOT / name for name in ("fine2coarse", "launch", "configs"))
    for path in (*_PAGES, *(path for folder in folders for path in folder.rglob("*.py"))):
        assert not _AVOIDED.findall(path.read_text("utf-8").lower()), path
    assert _AVOIDED.findall("times are reckoned; it was told apart") == ["reckoned", "told apart"]


def test_readme_fits_two_screens():
    text = _ROOT.joinpath("README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 75 and text.count("![") == 1
