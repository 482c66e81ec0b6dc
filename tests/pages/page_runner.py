"""Runs the blocks of a page in a folder, in order, as a reader would who copies each of them."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from fine2coarse.cli import commands, completion
from tests.pages.blocks import BASH, PYTHON, TEXT, Block, Command, commands_of, differences
from tests.processes import Process

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT_S = 900.0
_PROGRAM = ROOT / "fine2coarse" / "__main__.py"
# What a reader sees of a checkout; outputs of commands lie beside these.
_CHECKOUT = ("launch", "benchmarks", "configs", "docs", "tests", "fine2coarse", "README.md")
# Few steps of few images: numbers that mean nothing, from the same programs.
_FEW_STEPS = (
    "--config.pretrain.total_steps=6",
    "--config.pretrain.batch_size=16",
    "--config.pretrain.optimizer.warmup_steps=1",
    "--config.transfer.total_steps=4",
    "--config.transfer.batch_size=16",
    "--config.transfer.optimizer.warmup_steps=1",
)
_FEW_IMAGES = (
    "--config.dataset.options.num_train=192",
    "--config.dataset.options.num_test_easy=32",
    "--config.dataset.options.num_test_hard=32",
)
_ONE_SEED = ("--config.seeds=(0,)",)
_SMALL_FORMS = ("smoke", "small")
# Cards that hold out more images than `readers.write_shared` writes.
_HELD_OUT = ("imagenet21k_mini", "label_sources")
# Program → arguments that make it small.
_SMALL_PROGRAMS: Mapping[str, Sequence[str]] = {
    "theory": ("--experiment=default", "--num_seeds=2"),
    "coverage.py": ("--tries=2",),
    "prepare.py": ("--num_images=4", "--repeats=1"),
    "input.py": (
        "--num_images=64",
        "--num_batches=2",
        "--warm_up_batches=1",
        "--num_tune_batches=0",
        "--repeats=1",
        "--storages=disk",
    ),
    "study.py": ("--num_runs=2", "--pretrain_steps=4", "--transfer_steps=2"),
}


def at_small_size(words: Sequence[str]) -> list[str]:
    """A command of ours at a size that a test can afford; other commands as they are."""
    own, rest = list(words), []
    if "--" in own:
        at = own.index("--")
        own, rest = own[:at], own[at:]
    name = own[1] if own[0] == "fine2coarse" else pathlib.Path(own[1]).name
    card = next((word for word in own if word.startswith("--config=")), "")
    is_small = any(form in card for form in _SMALL_FORMS)
    if own[0] == "fine2coarse" and name in ("study", "pretrain", "transfer") and not is_small:
        own += _FEW_STEPS
        if name == "study" and not any(word.startswith("--config.seeds") for word in own):
            own += _ONE_SEED
        if name == "study" and card == "--config=demo":
            own += _FEW_IMAGES
    elif name in _SMALL_PROGRAMS and "--smoke" not in own:
        own += _SMALL_PROGRAMS[name]
    if own[:2] == ["fine2coarse", "study"]:
        own.append("--transfer_candidates=off")
    if any(form in card for form in _HELD_OUT) and not card.endswith(":demo"):
        own.append("--config.dataset.options.num_validation=200")
    return own + rest


class PageRunner:
    """Runs a page's blocks in one folder.

    Args:
      folder: empty, or with what the page's reader has.
      exactly: run every command as it stands, in a shell, by the installed program.
    """

    def __init__(self, folder: pathlib.Path, *, exactly: bool = False) -> None:
        self._folder, self._exactly = folder, exactly
        self._variables: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        bin_folder = str(pathlib.Path(sys.executable).parent)
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("TFDS_DATA_DIR", "PYTEST_CURRENT_TEST")
        }
        self._environment["PATH"] = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        if not exactly:
            self._environment["PYTHONPATH"] = str(ROOT)
            for name in _CHECKOUT:
                (folder / name).symlink_to(ROOT / name)

    def run(self, blocks: Sequence[Block]) -> None:
        """Runs them all.

        Raises:
          AssertionError: where one fails, or prints something else than the block after it shows.
        """
        printed = ""
        for block in blocks:
            block.check()
            if block.is_of_the_demo:
                continue
            if block.language == TEXT:
                numbers = not block.has_other_numbers
                missing = differences(block.text, printed, numbers=numbers)
                assert not missing, f"line {block.line} shows {missing}, printed was:\n{printed}"
            elif block.needs:
                check_flags(block)
                printed = ""
            elif block.language == PYTHON:
                printed = self._python(block)
            elif block.language == BASH:
                printed = self._bash(block)

    def _bash(self, block: Block) -> str:
        if self._exactly or block.is_server:
            started = time.monotonic()
            printed = self._shell(block.text, block)
            self.seconds[block.text.strip()] = time.monotonic() - started
            return printed
        return "".join(
            self._command(command, block) for command in commands_of(block, self._variables)
        )

    def _command(self, command: Command, block: Block) -> str:
        words = command.words
        is_ours = len(words) > 1 and (
            words[0] == "fine2coarse" or (words[0] == "python" and words[1].endswith(".py"))
        )
        if not is_ours:
            return self._shell(command.text, block)
        words = at_small_size(words)
        program, arguments = _PROGRAM, words[1:]
        if words[0] == "python":
            program, arguments = self._folder / words[1], words[2:]
        variables = {**self._environment, **dict(command.variables)}
        process = Process(program, arguments, variables, folder=self._folder)
        out, errors = process.communicate(TIMEOUT_S)
        _succeeded(block, command.text, process.returncode, out, errors)
        return out

    def _python(self, block: Block) -> str:
        text = block.text
        if "config." in text and "config =" not in text:  # lines of a card
            text = (
                "from fine2coarse.recipes.card import recipe_card\n\nconfig = recipe_card()\n"
                f"{text}"
            )
        if not self._exactly:
            text = text.replace('"demo"', '"demo:smoke"')
        path = self._folder / f"line{block.line}.py"
        path.write_text(text, encoding="utf-8")
        if self._exactly:
            started = time.monotonic()
            out = self._shell(f"python {path.name}", block)
            self.seconds[f"python, line {block.line}"] = time.monotonic() - started
            path.unlink()
            return out
        process = Process(path, [], self._environment, folder=self._folder)
        out, errors = process.communicate(TIMEOUT_S)
        _succeeded(block, block.text, process.returncode, out, errors)
        path.unlink()
        return out

    def _shell(self, text: str, block: Block) -> str:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self._folder,
            env={**self._environment, **self._variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, errors = shell.communicate(timeout=12.0 if block.is_server else TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGTERM)
            out, errors = shell.communicate()
            assert block.is_server, f"line {block.line}: {text} took longer than {TIMEOUT_S} s"
            return out + errors
        assert not block.is_server, f"line {block.line}: {text} ended by itself: {errors}"
        _succeeded(block, text, shell.returncode, out, errors)
        return out


def _succeeded(block: Block, text: str, code: int, out: str, errors: str) -> None:
    told = f"line {block.line}: {text}\nexit code {code}\n{out[-1500:]}\n{errors[-3000:]}"
    assert code == 0, told
    assert "Traceback" not in errors, told


def check_flags(block: Block) -> None:
    """Checks the flags of our programs in a block that is not run.

    Raises:
      AssertionError: where a program has no flag of such a name.
    """
    for command in commands_of(block):
        if command.words[:1] == ("fine2coarse",):
            program = commands.programs().get(command.words[1])
            assert program is not None, f"line {block.line}: no command {command.words[1]}"
            known = {*completion.flags_of(program), *absl_flags()}
            known |= {f"no{name}" for name in known}
            unknown = set(command.flags) - known
            assert not unknown, f"line {block.line}: {command.text}: no flags {sorted(unknown)}"


def absl_flags() -> set[str]:
    """Flags that every program has."""
    return {"help", "helpfull", "flagfile"}
