"""The installed command: `fine2coarse NAME FLAGS` runs the program `launch/NAME.py`.

    fine2coarse                            lists the commands
    fine2coarse study --help               that command's own help
    fine2coarse completion bash            a script that lets the shell complete commands and flags

Imports nothing heavy: each program imports what it needs once its flags are parsed.
"""

from __future__ import annotations

import ast
import os
import pathlib
import runpy
import sys
from collections.abc import Mapping, Sequence

from fine2coarse.cards import folder_of
from fine2coarse.cli import startup
from fine2coarse.errors import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, EXIT_USAGE
from fine2coarse.nearest import unknown

COMPLETION = "completion"
_COMPLETION_LINE = "Prints a script that completes commands and flags: completion bash, or zsh."
_HELP = ("help", "--help", "-h", "-help", "--helpfull", "--helpshort")


def programs() -> Mapping[str, pathlib.Path]:
    """Name → file of every program."""
    files = sorted(folder_of("launch").glob("[a-z]*.py"))
    return {path.stem: path for path in files}


def first_line(program: pathlib.Path) -> str:
    """What a program is for: the first line of its docstring."""
    text = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def overview() -> str:
    """The commands, a line each."""
    lines = {name: first_line(path) for name, path in programs().items()}
    lines[COMPLETION] = _COMPLETION_LINE
    width = max(map(len, lines))
    return "\n".join(
        [
            "usage: fine2coarse COMMAND [--FLAG=VALUE ...]",
            "",
            *(f"  {name.ljust(width)}  {line}" for name, line in lines.items()),
            "",
            "The flags of a command: fine2coarse COMMAND --help",
        ]
    )


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      arguments: its name and flags; those of this process where None.

    Returns:
      The exit code; most commands end the process with their own instead.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in _HELP:
        print(overview())
        return 0
    if arguments[0] == "--version":
        from fine2coarse import __version__

        print(f"fine2coarse {__version__}")
        return 0
    name, *rest = arguments
    if name == COMPLETION:
        return _print_completion(rest)
    program = programs().get(name.replace("-", "_"))
    if program is None:
        _complain(unknown("command", name, (*programs(), COMPLETION)))
        return EXIT_USAGE
    startup.is_command = True
    sys.argv = [str(program), *rest]
    try:
        runpy.run_path(str(program), run_name="__main__")
    except SystemExit as end:
        if end.code == 1 and any(argument in _HELP for argument in rest):
            return 0  # absl ends its help as if it were a failure
        raise
    return 0


def _print_completion(shells: Sequence[str]) -> int:
    from fine2coarse.cli import completion

    if len(shells) != 1 or shells[0] not in completion.SHELLS:
        known = " or ".join(completion.SHELLS)
        _complain(f"completion takes the name of a shell, {known}; got {list(shells) or 'none'}")
        return EXIT_USAGE
    print(completion.script(shells[0], {**programs(), COMPLETION: None}))
    return 0


def _complain(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def main() -> None:
    """Runs the command of this process, and ends the process with its exit code."""
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read what was printed has seen enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_BROKEN_PIPE
    except KeyboardInterrupt:  # while a program's modules are imported
        _complain("stopped by Ctrl-C before any work began")
        code = EXIT_INTERRUPTED
    sys.exit(code)
