"""Folders of prepared data whose names tell the state of the source: `NAME-1a2b3c4d/VERSION`.

Data is never prepared over other data: each state of a source has a folder of its own.
"""

from __future__ import annotations

import dataclasses
import glob
import itertools
import logging
import pathlib
import re
from collections.abc import Callable, Sequence

from fine2coarse.archives.archives import SourceError
from fine2coarse.datasets.leveled import STAGING_SUFFIX

_log = logging.getLogger(__name__)

_DATASET_INFO = "dataset_info.json"


@dataclasses.dataclass(frozen=True)
class StateFolders:
    """The folders of one source.

    Attributes:
      root: folder of all data of the builder.
      name: that the folders' names begin with.
      version: of the builder.
    """

    root: pathlib.Path
    name: str
    version: str

    def prepared(self, state_name: str) -> list[pathlib.Path]:
        """Folders of prepared data, the last first.

        Args:
          state_name: of the file in each that says what the source was.

        Raises:
          SourceError: where one lacks its dataset_info.json.
        """
        found = self.root.glob(f"{glob.escape(self.name)}-*/{self.version}/{state_name}")
        ours = [path for path in found if self._is_ours(path.parts[-3])]
        folders = [path.parent for path in sorted(ours, key=lambda path: -path.stat().st_mtime_ns)]
        for folder in folders:
            if not (folder / _DATASET_INFO).is_file():
                raise SourceError(
                    f"{folder}: prepared data without its {_DATASET_INFO}; delete that folder and "
                    "run the same command to prepare it again"
                )
        return folders

    def new_name(self, taken: Sequence[pathlib.Path], digest: Callable[[int], str]) -> str:
        """The name for a state that is to be prepared.

        Args:
          taken: folders as `prepared` gives them.
          digest: eight hex digits of the state; another number gives others, for states that
            differ in content alone.
        """
        names = {folder.parent.name for folder in taken}
        new = (f"{self.name}-{digest(number)}" for number in itertools.count())
        return next(name for name in new if name not in names)

    def tell_of_unfinished(self, current: str, what: str) -> None:
        """Says which folders hold preparations of other states that were never finished.

        Args:
          current: name of the state that is to be prepared.
          what: the source, for people to read.
        """
        for path in self.root.glob(f"{glob.escape(self.name)}-*/*{STAGING_SUFFIX}"):
            if path.parent.name != current and self._is_ours(path.parent.name):
                _log.info(
                    "%s holds an unfinished preparation of an earlier state of %s; delete it to "
                    "have its space back",
                    path,
                    what,
                )

    def _is_ours(self, folder: str) -> bool:
        """Whether a name that begins as ours goes on with a digest alone."""
        return re.fullmatch(r"-[0-9a-f]{8}", folder.removeprefix(self.name)) is not None
