"""How a study was made: the command as it was typed, and the versions that ran it."""

from __future__ import annotations

import importlib.metadata
import pathlib
import platform
import re
import shlex
from collections.abc import Sequence
from typing import Any

import fine2coarse
from fine2coarse.files import read_json, write_json

MADE_WITH = "made_with.json"
_PACKAGES = (
    "tensorflow",
    "tensorflow-tpu",
    "jax",
    "jaxlib",
    "keras",
    "keras-hub",
    "tensorflow-datasets",
    "numpy",
    "scipy",
)
# Only these say what is computed; the others say where (folders, devices, names of machines).
_KEPT = re.compile(r"--?(config(\.|=|$)|(transfer_candidates|backend)(=|$))")
_SECRET = re.compile(r"(token|password|passwd|secret|credential|api_?key)", re.IGNORECASE)
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_HIDDEN = "HIDDEN"


def record_command(workdir: pathlib.Path, program: str, arguments: Sequence[str]) -> None:
    """Notes in `made_with.json` how a study is being made; a command noted already is not again.

    Args:
      workdir: the study's folder.
      program: e.g. `launch/study.py`, or `fine2coarse study` of the installed command.
      arguments: as typed. Those that pick the recipe are kept; folders and devices are not, and
        what looks like a secret is hidden.
    """
    path = workdir / MADE_WITH
    known = read_json(path) if path.is_file() else {"commands": [], "versions": versions()}
    command = [*program.split(), *portable_arguments(arguments)]
    if command not in known["commands"]:
        known["commands"].append(command)
        write_json(path, known)


def portable_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments that pick the recipe, each as one `--name=value`."""
    kept, position = [], 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        has_value = "=" in argument
        follows = position < len(arguments) and not arguments[position].startswith("-")
        if argument.startswith("-") and not has_value and follows:
            argument = f"{argument}={arguments[position]}"
            position += 1
        if _KEPT.match(argument):
            kept.append(_without_secrets(argument))
    return kept


def _without_secrets(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if _SECRET.search(name):
        return name + equals + _HIDDEN
    return name + equals + _USER_IN_URL.sub("", value)


def commands(workdir: pathlib.Path) -> list[str]:
    """The lines that make this study again; none where its folder does not say."""
    folder = shlex.quote(f"--workdir=runs/{workdir.resolve().name}")
    return [
        " ".join([*_interpreter(command[0]), *map(shlex.quote, command), folder])
        for command in _made_with(workdir).get("commands", [])
    ]


def _interpreter(program: str) -> list[str]:
    return ["python"] if program.endswith(".py") else []


def recorded_versions(workdir: pathlib.Path) -> dict[str, str]:
    """Versions noted when the study began; empty where its folder does not say."""
    return _made_with(workdir).get("versions", {})


def _made_with(workdir: pathlib.Path) -> dict[str, Any]:
    path = workdir / MADE_WITH
    return read_json(path) if path.is_file() else {}


def versions() -> dict[str, str]:
    """What is installed here."""
    found = {"fine2coarse": getattr(fine2coarse, "__version__", None) or _version("fine2coarse")}
    found |= {package: _version(package) for package in _PACKAGES}
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    return {name: version for name, version in found.items() if version} | machine


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
