"""Every command of README, the pages, BUILD, CONTRIBUTING and the cards runs, in its page's order.

In one folder a page, at small sizes; what a page shows as output is compared with what is printed.
docs/first_hour.md is run as it stands, by the installed program.
"""

from __future__ import annotations

import pathlib

import pytest

from tests.pages import readers
from tests.pages.blocks import BASH, Block, blocks_of, docstring_block
from tests.pages.page_runner import ROOT, PageRunner, check_flags

_SHARED = ROOT.parent / "shared" / "data"
_FIRST_HOUR = ROOT / "docs" / "first_hour.md"
_PAGES = [
    *(ROOT / name for name in ("README.md", "BUILD.md", "CONTRIBUTING.md")),
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path != _FIRST_HOUR),
]
_CARDS = sorted((ROOT / "configs").glob("*.py"))


def _blocks(path: pathlib.Path) -> list[Block]:
    if path.suffix == ".py":
        return [docstring_block(path)]
    return blocks_of(path.read_text("utf-8"))


@pytest.mark.parametrize("path", [*_PAGES, _FIRST_HOUR, *_CARDS], ids=lambda path: path.stem)
def test_blocks_are_of_a_known_kind(path):
    blocks = _blocks(path)
    for block in blocks:
        block.check()
        if block.language == BASH:
            check_flags(block)
    assert path.suffix != ".py" or "fine2coarse" in blocks[0].text


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [path for path in [*_PAGES, *_CARDS] if any(block.language for block in _blocks(path))],
    ids=lambda path: path.stem,
)
def test_a_page_as_its_reader_runs_it(path, tmp_path):
    blocks, folder = _blocks(path), tmp_path / "main"
    folder.mkdir()
    text = "\n".join(block.text for block in blocks)
    if "../shared/data" in text or path.stem == "label_sources":  # which names it itself
        if not _SHARED.is_dir():
            pytest.skip(f"no {_SHARED}")
        readers.write_shared(folder, _SHARED)
    readers.write_photographs(folder)
    readers.write_archives(folder)
    readers.write_shards(folder)
    PageRunner(folder).run(blocks)


@pytest.mark.slow
def test_the_first_hour_as_printed(tmp_path):
    readers.write_photographs(tmp_path)
    runner = PageRunner(tmp_path, exactly=True)
    runner.run(_blocks(_FIRST_HOUR))
    print(f"{sum(runner.seconds.values()):.0f} s in all", runner.seconds)
