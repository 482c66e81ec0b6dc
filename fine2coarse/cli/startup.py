"""What every program sets up before all else, on import."""

import io
import os
import sys

is_command = False
"""Whether this process was started as `fine2coarse NAME`, not as a script."""


def _set_up() -> None:
    """Makes a program independent of the terminal and the notebook that it is started from."""
    # No program opens a window. A notebook's backend, which Jupyter and Colab hand on, need not be
    # installed here, and matplotlib would not even be imported then.
    os.environ["MPLBACKEND"] = "agg"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the locale lacks is no failure


_set_up()
