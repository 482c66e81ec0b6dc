"""Names of the classes that a summed head sums: those of the pretraining that it came from.

In a study they lie in the run's own `pretrain/`. A transfer by hand keeps them in its folder.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from fine2coarse.labels.space import LabelSpace
from fine2coarse.recipes.names import PRETRAIN
from fine2coarse.runs.phase_folder import LABEL_SPACE, PhaseFolder

FINE_LABEL_SPACE = "fine_label_space.npz"


def find_fine_space(folder: PhaseFolder) -> LabelSpace | None:
    """The label space of the classes that a phase run's head sums.

    Returns:
      None where its head sums nothing, or the names are not there any more.

    Raises:
      LabelSpaceError: where a file of them is damaged.
    """
    wanted = _fine_fingerprint(folder.recipe())
    if not wanted:
        return None
    path = folder.path.resolve()
    places = [path.parent / PRETRAIN, path.parent.parent / PRETRAIN]
    for file in (path / FINE_LABEL_SPACE, *(place / LABEL_SPACE for place in places)):
        if file.is_file():
            space = LabelSpace.load(file)
            if space.fingerprint == wanted:
                return space
    return None


def keep_fine_space(folder: PhaseFolder, source: pathlib.Path | None) -> None:
    """Keeps the names of the classes that a finished phase run's head sums beside its weights.

    Args:
      folder: of a phase run; nothing is written where its head sums nothing.
      source: folder of the phase run that it began with.
    """
    if source is None or not _fine_fingerprint(folder.recipe()):
        return
    if (folder.path / FINE_LABEL_SPACE).is_file():
        return
    space = find_fine_space(PhaseFolder(source))
    if space is None and (source / LABEL_SPACE).is_file():
        space = LabelSpace.load(source / LABEL_SPACE)
    if space is not None:
        space.save(folder.path / FINE_LABEL_SPACE)


def _fine_fingerprint(recipe: Mapping[str, Any]) -> str:
    """Of the label space whose classes a head sums; empty where it sums none."""
    found = recipe
    while "summed" in found.get("head", {}):  # its start may have summed already
        start = found.get("start_from")
        if not isinstance(start, Mapping) or "recipe" not in start:
            return ""
        found = start["recipe"]
    return "" if found is recipe else found["label_space"]["fingerprint"]
