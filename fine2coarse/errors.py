"""The one root of our exceptions, and the exit code that each kind stands for.

| exit code | kind | shown as |
| --- | --- | --- |
| 0 | all went well | |
| 1 | a bug, of ours or of a library | a traceback |
| 2 | `UsageError`: the command, the recipe or the data must change first | one line |
| 3 | `FailedError`: some of the work failed; what is finished is kept | one line |
| 141 | nobody reads the output any more, as in `| head` | |
| 75 | `TryAgainError`: stopped on request or by an unreachable disk or network; the same command \
goes on | one line |

What a user may have caused is one of ours. A `KeyError` or `ValueError` that is not is a bug, and
never looks like a mistake in the arguments.
"""

from __future__ import annotations

import errno
import sys

EXIT_BUG, EXIT_USAGE, EXIT_FAILED = 1, 2, 3
EXIT_BROKEN_PIPE = 128 + 13  # as a shell tells of a program that SIGPIPE ended
EXIT_INTERRUPTED = 128 + 2  # as a shell tells of a program that SIGINT, Ctrl-C, ended
# EX_TEMPFAIL of sysexits.h: "try again later". A wrapper starts the same command again.
EXIT_TRY_AGAIN = 75

# What a user can correct: a path that is wrong or not theirs.
_OF_PATHS = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_OF_PATHS_TOO = (errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG)
_FULL = (errno.ENOSPC, errno.EDQUOT)
# What a disk or network may get over: NFS handles gone stale, servers out of reach.
_TRANSIENT = (
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ECONNABORTED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EAGAIN,
    errno.EBUSY,
)


class Fine2CoarseError(Exception):
    """Root of all exceptions that this package raises on purpose."""

    exit_code = EXIT_BUG


class UsageError(Fine2CoarseError, ValueError):
    """Something that was given must change: a flag, a recipe, a file, the data."""

    exit_code = EXIT_USAGE


class RecipeError(UsageError):
    """A recipe with an unknown key, a missing one or a value that cannot be."""


class FailedError(Fine2CoarseError, RuntimeError):
    """Some of the work cannot be done; what is finished is kept."""

    exit_code = EXIT_FAILED


class TryAgainError(Fine2CoarseError, RuntimeError):
    """The same command, started again, goes on from here."""

    exit_code = EXIT_TRY_AGAIN


class Preempted(TryAgainError):
    """Training stopped on request, its state saved; the same command goes on."""


def exit_code_of(error: BaseException) -> int:
    """The exit code that an exception ends a program with.

    Args:
      error: ours, or any other.

    Returns:
      One of the table above: of an `OSError` 2 where a path is at fault, 3 where the disk is full,
      75 where a disk or network may come back, as of TensorFlow's own; 1 of whatever else is not
      ours.
    """
    if isinstance(error, Fine2CoarseError):
        return error.exit_code
    if is_disk_full(error):
        return EXIT_FAILED
    if isinstance(error, _OF_PATHS) or getattr(error, "errno", None) in _OF_PATHS_TOO:
        return EXIT_USAGE
    return EXIT_TRY_AGAIN if _is_transient(error) else EXIT_BUG


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no space left, also in TensorFlow's words."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return isinstance(error, (OSError, *_of_tensorflow("OpError"))) and "No space" in str(error)


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _TRANSIENT:
        return True
    return isinstance(
        error,
        (
            TimeoutError,
            *_of_tensorflow("UnavailableError", "DeadlineExceededError", "AbortedError"),
        ),
    )


def _of_tensorflow(*names: str) -> tuple[type, ...]:
    """TensorFlow's errors of these names; none where it is not imported, so cannot raise any."""
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return tuple(getattr(errors, name) for name in names) if errors else ()
