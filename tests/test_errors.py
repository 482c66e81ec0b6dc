"""One root for all exceptions, and the exit code that each stands for."""

from __future__ import annotations

import ast
import builtins
import errno
import logging
import pathlib
import sys
import types

import pytest

from fine2coarse import errors
from fine2coarse.claims import AlreadyHeld, CannotHold, ClaimLost
from fine2coarse.cli import messages
from fine2coarse.cli.program import one_line_errors
from fine2coarse.errors import exit_code_of
from fine2coarse.paths import PathError

_PACKAGE = pathlib.Path(errors.__file__).parent
_BUILT_IN = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def exception_classes(sources: list[str]) -> dict[str, list[str]]:
    """Name → names of the bases, of the classes whose bases lead to an exception."""
    bases = {}
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]

    def is_exception(name: str) -> bool:
        return name in _BUILT_IN or any(map(is_exception, bases.get(name, [])))

    return {name: named for name, named in bases.items() if any(map(is_exception, named))}


def roots(classes: dict[str, list[str]]) -> set[str]:
    """Those that derive from none of the others."""
    return {name for name, bases in classes.items() if not set(bases) & set(classes)}


def test_the_search_for_roots_finds_them():
    classes = exception_classes(
        ["class A(Exception): ...", "class B(A, ValueError): ...\nclass C(enum.Enum): ..."]
    )
    assert set(classes) == {"A", "B"} and roots(classes) == {"A"}
    assert roots(exception_classes(["class X(builtins.KeyError): ..."])) == {"X"}


def test_all_exceptions_have_one_root():
    folders = (_PACKAGE, *(_PACKAGE.parent / name for name in ("launch", "configs")))
    sources = [p.read_text("utf-8") for folder in folders for p in sorted(folder.rglob("*.py"))]
    classes = exception_classes(sources)
    assert len(classes) > 25 and {"RunError", "TarDamage", "ClaimLost"} <= set(classes)
    assert roots(classes) == {"Fine2CoarseError"}


def test_what_callers_caught_before_is_still_caught():
    for error in (errors.RecipeError, PathError, CannotHold, AlreadyHeld):
        assert issubclass(error, ValueError)
    for error in (errors.Preempted, errors.FailedError, ClaimLost, CannotHold, AlreadyHeld):
        assert issubclass(error, RuntimeError)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.RecipeError("x"), 2),
        (AlreadyHeld("x"), 2),
        (errors.FailedError("x"), 3),
        (errors.Preempted("x"), 75),
        (ClaimLost("x"), 75),
        (errors.Fine2CoarseError("x"), 1),
        (FileNotFoundError(errno.ENOENT, "no such file", "a"), 2),
        (PermissionError(errno.EACCES, "denied", "a"), 2),
        (OSError(errno.EROFS, "read-only"), 2),
        (OSError(errno.ENOSPC, "full"), 3),
        (OSError(errno.EDQUOT, "quota"), 3),
        (OSError(errno.ESTALE, "stale handle"), 75),
        (ConnectionResetError(errno.ECONNRESET, "reset"), 75),
        (TimeoutError("timed out"), 75),  # sockets give no number
        (OSError(errno.EINVAL, "invalid"), 1),
        (KeyError("a"), 1),
        (ValueError("No space left on device"), 1),  # words alone, of no disk
        (AttributeError("a"), 1),
    ],
)
def test_exit_codes(error, code):
    assert exit_code_of(error) == code


def test_tensorflows_errors_of_files(monkeypatch):
    class OpError(Exception):
        pass

    kinds = {
        name: type(name, (OpError,), {})
        for name in ("UnavailableError", "DeadlineExceededError", "AbortedError", "InternalError")
    }
    mock = types.SimpleNamespace(errors=types.SimpleNamespace(OpError=OpError, **kinds))
    monkeypatch.setitem(sys.modules, "tensorflow", mock)
    codes = {name: exit_code_of(kind("bucket")) for name, kind in kinds.items()}
    assert codes == {
        "UnavailableError": 75, "DeadlineExceededError": 75, "AbortedError": 75, "InternalError": 1,
    }  # fmt: skip
    assert exit_code_of(kinds["InternalError"]("/a: No space left on device")) == 3
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert exit_code_of(kinds["UnavailableError"]("bucket")) == 1, "not of TensorFlow"


def leave(error: BaseException) -> int:
    """The exit code that a program ends with where its work raises an error."""
    with pytest.raises(SystemExit) as left, one_line_errors():
        raise error
    return left.value.code


def test_a_stray_key_error_of_the_work_is_a_traceback():
    with pytest.raises(KeyError, match="class_map"), one_line_errors():
        {}["class_map"]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.UsageError("--arm: no\n  arm 'x'"), 2, "error: --arm: no arm 'x'\n"),
        (errors.FailedError("2 of 3 runs"), 3, "error: 2 of 3 runs\n"),
        (errors.Preempted("saved"), 75, "error: saved\n"),
        (errors.UsageError(), 2, "error: UsageError\n"),
    ],
)
def test_all_else_is_one_line(error, code, line, capsys, monkeypatch):
    monkeypatch.delenv("FINE2COARSE_TRACEBACK", raising=False)
    assert leave(error) == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("asks_for_traceback", ["", "1"])
def test_ctrl_c_is_one_line(asks_for_traceback, capsys, monkeypatch):
    monkeypatch.setenv("FINE2COARSE_TRACEBACK", asks_for_traceback)
    assert leave(KeyboardInterrupt()) == 130
    shown = capsys.readouterr().err
    assert shown.startswith("error: stopped by Ctrl-C; ") and shown.count("\n") == 1


def test_a_full_disk_says_what_to_do(capsys):
    assert leave(OSError(errno.ENOSPC, "No space left on device", "a.npz")) == 3
    assert "make space and run the same command again" in capsys.readouterr().err


def test_a_traceback_can_be_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("FINE2COARSE_TRACEBACK", "1")
    assert leave(errors.UsageError("x")) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback") and shown.endswith("error: x\n")


def test_programs_show_what_the_package_logs_and_only_while_they_run(capsys):
    logger = logging.getLogger("fine2coarse.studies.study")
    with messages.shown():
        logger.info("run 1/3: error 5 %")
        logger.warning("goes on in another environment")
        logger.debug("too much")
        logging.getLogger("absl").error("not ours")
    logger.info("afterwards")
    lines = capsys.readouterr().err.splitlines()
    assert "afterwards" not in lines and "too much" not in lines
    assert [line for line in lines if "not ours" not in line] == [
        "run 1/3: error 5 %", "warning: goes on in another environment",
    ]  # fmt: skip
    assert not logging.getLogger("fine2coarse").handlers


def test_a_line_stands_above_a_progress_bar(capsys):
    tqdm = pytest.importorskip("tqdm")
    with messages.shown(), tqdm.tqdm(total=2, mininterval=0, ncols=60, desc="images") as bar:
        bar.update()
        logging.getLogger("fine2coarse.x").info("a line")
    drawn = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert "a line" in drawn, "not at the end of a bar"
