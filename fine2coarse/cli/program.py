"""What every program is started by: flags parsed, errors told in one line, exit codes."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging

from fine2coarse.backend_start import quiet_libraries
from fine2coarse.cli import messages, startup
from fine2coarse.cli.path_flags import fail, parse_flags
from fine2coarse.errors import (
    EXIT_BROKEN_PIPE,
    EXIT_BUG,
    EXIT_INTERRUPTED,
    Fine2CoarseError,
    UsageError,
    exit_code_of,
    is_disk_full,
)

_OURS = "fine2coarse."
INTERRUPTED = "stopped by Ctrl-C; what is saved is kept, and a run goes on with the same command"


def run_main(
    main: Callable[..., None],
    required: Sequence[str] = (),
    *,
    start: Callable[[], None] | None = None,
    takes_remote_workdir: bool = False,
    takes_arguments: bool = False,
) -> None:
    """Parses the flags and runs a program; ends the process with its exit code.

    Set FINE2COARSE_TRACEBACK=1 to see where an error came from.

    Args:
      main: the program's work; given the arguments that are no flags where it takes some.
      required: flags that must be given.
      start: what is started before `main`, such as `backend_start.start_backend`.
      takes_remote_workdir: whether --workdir may be an address, as in gs://bucket/folder.
      takes_arguments: whether there may be arguments besides flags.
    """
    for name in required:
        flags.mark_flag_as_required(name)
    _show_shared_flags()
    quiet_libraries()

    def guarded(argv: list[str]) -> None:
        logging.set_verbosity(logging.ERROR)
        if len(argv) > 1 and not takes_arguments:
            fail(f"unexpected arguments {argv[1:]}; flags begin with --")
        with messages.shown(), one_line_errors():
            if not takes_remote_workdir:
                _refuse_remote_workdir()
            if start is not None:
                start()
            main(*([argv[1:]] if takes_arguments else []))

    app.run(guarded, flags_parser=_parse_flags)


def _show_shared_flags() -> None:
    """Lets --help show the flags that modules of ours define, as it does the program's own."""
    found = flags.FLAGS.flags_by_module_dict()
    shared = [flag for name, ours in found.items() if name.startswith(_OURS) for flag in ours]
    if "config" in flags.FLAGS:
        shared.append(flags.FLAGS["config"])
    for flag in shared:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def program_name(name: str) -> str:
    """How a program was started, for the report: as a command or as a script.

    Args:
      name: of the program, e.g. 'study'.
    """
    return f"fine2coarse {name}" if startup.is_command else f"launch/{name}.py"


def _refuse_remote_workdir() -> None:
    workdir = flags.FLAGS["workdir"].value if "workdir" in flags.FLAGS else None
    if "://" in (workdir or ""):
        raise UsageError(
            f"--workdir={workdir}: this program works in local folders; `fine2coarse study` takes "
            "remote ones"
        )


def _parse_flags(argv: list[str]) -> list[str]:
    """As `parse_flags`; a mistake in a config is told in one line too."""
    try:
        remaining = parse_flags(argv)
        if "config" in flags.FLAGS:
            flags.FLAGS["config"].value  # noqa: B018 - an unreadable file is told of here
        return remaining
    except BrokenPipeError:  # as of `--help | head`
        raise
    except (AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        if os.environ.get("FINE2COARSE_TRACEBACK"):
            raise
        fail(f"--config: {str(error).replace(chr(92) + 'n', ' ')}")


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the process with the exit code of what the body raises (the table of `errors`).

    A bug is a traceback; all else is one line on standard error, with a traceback above it where
    FINE2COARSE_TRACEBACK is set.
    """
    try:
        yield
    except BrokenPipeError:  # whoever read what was printed has seen enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    except KeyboardInterrupt:
        print(f"error: {INTERRUPTED}", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        code = exit_code_of(error)
        if code == EXIT_BUG:
            raise
        if os.environ.get("FINE2COARSE_TRACEBACK"):
            traceback.print_exc()
        print(f"error: {_tell(error)}", file=sys.stderr)
        sys.exit(code)


def _tell(error: Exception) -> str:
    if not isinstance(error, Fine2CoarseError) and is_disk_full(error):
        return (
            f"the disk is full ({error}). Nothing finished is lost: make space and run the same "
            "command again"
        )
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line) or type(error).__name__
