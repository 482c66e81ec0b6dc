"""Reading pages: blocks, marks, commands, and what differs from what is printed."""

from __future__ import annotations

import pytest

from tests.pages.blocks import Block, blocks_of, commands_of, differences

_PAGE = """
Text.

```bash
# a remark
fine2coarse study --config=demo \\
  --workdir=runs/x   # its own remark
CARD="--config=mine --seed=1"
A='{"b": 1}' fine2coarse pretrain $CARD -- --own=1
ls | head
```

<!-- not run: cluster -->
```bash
sbatch x.sh
```
<!-- other numbers -->
```text
error 3.5 %
```
"""


def test_blocks_and_marks():
    first, second, third = blocks_of(_PAGE)
    assert (first.language, first.line, first.needs) == ("bash", 4, "")
    assert second.needs == "cluster" and second.text == "sbatch x.sh\n"
    assert third.language == "text" and third.has_other_numbers
    for block in (first, second, third):
        block.check()


@pytest.mark.parametrize(
    "block", [Block("", "", 3), Block("bash", "", 3, "not run: laziness"), Block("sh", "", 3)]
)
def test_what_no_block_may_be(block):
    with pytest.raises(ValueError, match="line 3"):
        block.check()


def test_commands():
    study, pretrain, shell = commands_of(blocks_of(_PAGE)[0])
    assert study.words == ("fine2coarse", "study", "--config=demo", "--workdir=runs/x")
    assert pretrain.words[:4] == ("fine2coarse", "pretrain", "--config=mine", "--seed=1")
    assert pretrain.variables == (("A", '{"b": 1}'),) and pretrain.flags == ["config", "seed"]
    assert shell.words == () and shell.text == "ls | head"


def test_differences():
    printed = "a  table\n------ ---\nfine  12.5  3,600\nend of 7 runs\n"
    assert differences("a table\n--- --\nfine 12.5 3,600\n...\nend of 7 runs", printed) == []
    assert differences("fine 12.6 3,600", printed) == ["fine 12.6 3,600"]
    assert differences("fine 12.6 9", printed, numbers=False) == []
    assert differences("coarse 12.6 9", printed, numbers=False) == ["coarse 12.6 9"]
    assert differences("end of ...", printed) == []
    assert differences("end of 7 runs\na table", printed) == ["a table"]  # the order counts
