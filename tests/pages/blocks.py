"""The fenced blocks of a page, and the commands in them.

A comment on the line before a fence says how a test treats the block:

    <!-- not run: cluster -->          what it needs is not here; only its flags are checked
    <!-- until stopped -->             a server: stopped once it runs
    <!-- other numbers -->             output of a command that a test runs at a smaller size: the
                                       words are compared, numbers are not
    <!-- of the demo -->               what README's first command prints: compared where its study
                                       is there (test_demo_output.py)
"""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re
import shlex
import textwrap
from collections.abc import Iterator

NEEDS = ("network", "cluster", "GPU", "TPU", "CI runs it")
"""What a block may need that a test does not have; the last is done beside the tests."""

BASH, PYTHON, TEXT = "bash", "python", "text"
_FENCE = re.compile(r"```(\w*)\s*")
_MARK = re.compile(r"<!-- (.*) -->")
_OTHER_NUMBERS, _UNTIL_STOPPED, _NOT_RUN = "other numbers", "until stopped", "not run: "
_OF_THE_DEMO = "of the demo"


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
      language: after the fence: 'bash' (commands), 'python' or 'text' (what the block before
        prints).
      text: between the fences.
      line: of the opening fence, counted from 1.
      mark: in the comment before; empty without one.
    """

    language: str
    text: str
    line: int
    mark: str = ""

    @property
    def needs(self) -> str:
        """What it needs that a test does not have; empty where it is run."""
        return self.mark.removeprefix(_NOT_RUN) if self.mark.startswith(_NOT_RUN) else ""

    @property
    def has_other_numbers(self) -> bool:
        """Whether a test's smaller run prints other numbers."""
        return self.mark == _OTHER_NUMBERS

    @property
    def is_server(self) -> bool:
        """Whether it runs until it is stopped."""
        return self.mark == _UNTIL_STOPPED

    @property
    def is_of_the_demo(self) -> bool:
        """Whether it is what README's first command prints."""
        return self.mark == _OF_THE_DEMO

    def check(self) -> None:
        """Raises ValueError where its language or mark is none of those above."""
        if self.language not in (BASH, PYTHON, TEXT):
            raise ValueError(f"line {self.line}: a block of {self.language or 'no language'}")
        marks = ("", _OTHER_NUMBERS, _UNTIL_STOPPED, _OF_THE_DEMO)
        is_known = self.mark in marks or self.needs in NEEDS
        if not is_known:
            raise ValueError(f"line {self.line}: unknown mark {self.mark!r}")


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks of a page's text, in order; fences in comments do not count."""
    found, lines = [], page.splitlines()
    opened, language, mark = None, "", ""
    for number, line in enumerate(lines, 1):
        fence = _FENCE.fullmatch(line.strip())
        if fence and opened is None:
            before = _MARK.fullmatch(lines[number - 2].strip()) if number > 1 else None
            opened, language, mark = number, fence[1], before[1] if before else ""
        elif fence:
            text = textwrap.dedent("\n".join(lines[opened : number - 1])) + "\n"
            found.append(Block(language, text, opened, mark))
            opened = None
    return found


def docstring_block(source: pathlib.Path) -> Block:
    """The commands that a Python file's docstring shows: its indented lines."""
    text = ast.get_docstring(ast.parse(source.read_text("utf-8"))) or ""
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    return Block(BASH, textwrap.dedent("\n".join(lines)) + "\n", 1)


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of a bash block.

    Attributes:
      text: as the page has it, its lines joined.
      words: program and arguments as a shell splits them; empty where only a shell can run it.
      variables: set before the program, as in `NAME=value program`; or alone on a line.
    """

    text: str
    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def flags(self) -> list[str]:
        """Names of its flags, without those after a bare `--` and those of recipe fields."""
        own = self.words[: self.words.index("--")] if "--" in self.words else self.words
        names = (word[2:].partition("=")[0] for word in own if word.startswith("--"))
        return [name for name in names if not name.startswith("config.")]


_SHELL_ONLY = re.compile(r"&&|\|\||[|;<>`]|\$\(")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def commands_of(block: Block, variables: dict[str, str] | None = None) -> Iterator[Command]:
    """The commands of a bash block, one a line; lines that end in a backslash go on.

    Args:
      block: of bash.
      variables: those set so far; what `$NAME` stands for. Lines that set some add to it.
    """
    known = {} if variables is None else variables
    for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if _SHELL_ONLY.search(re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", text)):
            yield Command(text, ())
            continue
        given = shlex.split(text, comments=True)
        words = [word for one in given for word in _expanded(one, known)]
        if words[-1] == "&":
            words.pop()
        given = []
        while words and (match := _ASSIGNMENT.fullmatch(words[0])):
            given.append((match[1], match[2]))
            words.pop(0)
        if words:
            yield Command(text, tuple(words), tuple(given))
        else:
            known.update(given)


def _expanded(word: str, variables: dict[str, str]) -> list[str]:
    """A word with its variables' values; one that is a variable is split, as by a shell."""
    value = re.sub(r"\$(\w+)", lambda match: variables.get(match[1], match[0]), word)
    return value.split() if re.fullmatch(r"\$\w+", word) else [value]


_NUMBER = re.compile(r"[+\-−]?(?<![\w.])\d[\d,.]*(?:[eE][+-]?\d+)?|\bnan\b")


def differences(shown: str, printed: str, *, numbers: bool = True) -> list[str]:
    """Lines that a page shows and that were not printed, in that order.

    Runs of blanks and of dashes count as one. A line `...` stands for any number of lines, `...`
    at the end of a line for the rest of it.

    Args:
      shown: on the page.
      printed: by the command.
      numbers: whether they must be the same too.
    """
    lines = [_plain(line, numbers) for line in printed.splitlines()]
    missing, at = [], 0
    for line in shown.splitlines():
        wanted = _plain(line, numbers)
        if wanted in ("", "..."):
            continue
        pattern = re.escape(wanted).replace(re.escape("..."), ".*")
        place = next((i for i in range(at, len(lines)) if re.fullmatch(pattern, lines[i])), None)
        if place is None:
            missing.append(line)
        else:
            at = place + 1
    return missing


def _plain(line: str, numbers: bool) -> str:
    text = " ".join(line.split())
    text = re.sub(r"[-─━]{2,}", "--", text)
    return text if numbers else _NUMBER.sub("#", text)
