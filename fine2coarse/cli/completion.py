"""Completion of commands, flags and card names in a shell.

The flags of a program are read from its source, and from the sources of the flag modules that it
imports, so that no program is started for them.
"""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator, Mapping

from fine2coarse.cards import card_names

SHELLS = ("bash", "zsh")
_DEFINE = re.compile(r"(?i)\bdefine_\w+$")
_CONFIG = "define_config"
_HERE = pathlib.Path(__file__).parent
_OURS = "fine2coarse.cli."


def flags_of(program: pathlib.Path) -> list[str]:
    """Names of a program's flags, sorted; absl's own are left out.

    Args:
      program: its source file.
    """
    found: set[str] = set()
    pending, seen = [program], set()
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name not in ("config_flag.py", "path_flags.py"):  # these define for others
            found |= set(_defined(tree))
        pending += _imported(tree)
    return sorted(found)


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _DEFINE.search(ast.unparse(node.func)):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                yield first.value
            elif ast.unparse(node.func) == _CONFIG:
                yield "config"


def _imported(tree: ast.Module) -> list[pathlib.Path]:
    """Modules of this package that a source imports."""
    names = [
        node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_OURS)
    ]
    return [_HERE / f"{name.removeprefix(_OURS)}.py" for name in names]


def script(shell: str, programs: Mapping[str, pathlib.Path | None]) -> str:
    """A script to be read by a shell when it starts.

    Args:
      shell: one of `SHELLS`.
      programs: name → source; None where a command has no flags.

    Returns:
      The script; on top, how to use it.
    """
    cases = "\n".join(
        f"    {name}) words='{' '.join(f'--{flag}=' for flag in flags_of(path))}' ;;"
        for name, path in programs.items()
        if path is not None
    )
    names = " ".join(programs)
    use = (
        'eval "$(fine2coarse completion bash)"  # in ~/.bashrc'
        if shell == "bash"
        else 'eval "$(fine2coarse completion zsh)"  # in ~/.zshrc'
    )
    before = "" if shell == "bash" else "autoload -U +X bashcompinit && bashcompinit\n"
    return f"""# {use}
{before}_fine2coarse() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '{names}' -- "$word"))
    return
  fi
  # A shell may take `--config=demo` for three words, or for one.
  if [ "$word" = "=" ]; then before="="; word=""; fi
  case "${{COMP_LINE##* }}" in
    --config=*)
      case "$word" in --config=*) words=' --config=' ;; *) words=' ' ;; esac
      COMPREPLY=($(for card in {" ".join(card_names())}; do
        compgen -W "${{words# }}$card" -- "$word"
      done))
      return ;;
    -*) ;;
    *) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  case "${{COMP_WORDS[1]//-/_}}" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  type compopt > /dev/null 2>&1 && compopt -o nospace
}}
complete -o default -F _fine2coarse fine2coarse"""
