"""A look at a folder of photographs before it is prepared: its levels, and images a class.

Names and sizes of files are listed, no image is read: whether each is one is found out when the
data is prepared. Imports no TensorFlow.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from fine2coarse.archives.file_tree import open_tree
from fine2coarse.datasets.folder_layout import (
    SPLITS,
    TAXONOMY_FILE,
    TRAIN,
    UNSPLIT,
    LayoutProblems,
    read_taxonomy,
    survey_layout,
)
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.taxonomy_file import read_taxonomy_file

_NUM_NAMES_TOLD = 5


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSurvey:
    """What a folder or archive of photographs holds.

    Attributes:
      path: it.
      kind: 'folder' or the archive's, for people to read.
      taxonomy: of its taxonomy.csv.
      num_files: split (empty where no folder names one) → leaf label → files of that class.
      num_left_out: files that are in no class folder, or hidden.
      problems: why it cannot be prepared as it is; empty lists where it can.
    """

    path: pathlib.Path
    kind: str
    taxonomy: Taxonomy
    num_files: Mapping[str, Mapping[int, int]]
    num_left_out: int
    problems: LayoutProblems

    @property
    def train_split(self) -> str:
        """The split whose images are trained on; empty where no folder names a split."""
        return TRAIN if any(self.num_files) else UNSPLIT

    @property
    def num_train_files(self) -> Mapping[int, int]:
        """Leaf label → files to train on, or of all where no folder names a split."""
        return self.num_files.get(self.train_split, {})


def read_levels(path: pathlib.Path) -> tuple[str, ...]:
    """Names of the levels of a folder or archive of photographs, finest first.

    Raises:
      FolderError, TaxonomyError, SourceError: see `taxonomy_of_folder`.
    """
    return taxonomy_of_folder(path).levels


def taxonomy_of_folder(path: pathlib.Path) -> Taxonomy:
    """The taxonomy of a folder or archive of photographs, which are not looked at.

    Raises:
      FolderError: where there is no taxonomy.csv.
      TaxonomyError: where its rows contradict each other.
      SourceError: where there is no such folder or archive, or it is damaged.
    """
    table = path / TAXONOMY_FILE
    if table.is_file():
        return read_taxonomy_file(table, is_headed=True)
    return read_taxonomy(open_tree(path), str(path))


def survey_folder(path: pathlib.Path) -> FolderSurvey:
    """Lists a folder or archive.

    Raises:
      FolderError: where there is no taxonomy.csv, or two files would be one image.
      TaxonomyError: where its rows contradict each other.
      SourceError: where there is no such folder or archive, or it is damaged.
    """
    tree = open_tree(path)
    layout, problems = survey_layout(tree, str(path), is_flat=False)
    return FolderSurvey(
        path,
        tree.kind,
        layout.taxonomy,
        {
            split: collections.Counter(image.label for image in images)
            for split, images in layout.splits.items()
        },
        sum(map(len, layout.skips.values())),
        problems,
    )


def survey_notes(survey: FolderSurvey) -> tuple[str, list[str]]:
    """A line on what is there, and a line for each thing that is not as it should be."""
    return _head(survey), _problems(survey)


def _head(survey: FolderSurvey) -> str:
    splits = [split for split in (UNSPLIT, *SPLITS) if split in survey.num_files]
    totals = {split: sum(survey.num_files[split].values()) for split in splits}
    told = f"{survey.path} ({survey.kind}): {sum(totals.values())} image files"
    if any(splits):
        told += f" ({', '.join(f'{split} {count}' for split, count in totals.items())})"
    told += f" of {survey.taxonomy.num_leaves} leaves; class sizes in images"
    return f"{told} of {survey.train_split}/" if survey.train_split else told


def _problems(survey: FolderSurvey) -> list[str]:
    notes = []
    if survey.problems.empty_classes:
        notes.append(
            f"classes without images: {_some(survey.problems.empty_classes)}; add images, or take "
            f"them out of {TAXONOMY_FILE}"
        )
    if survey.problems.unknown_folders:
        notes.append(
            f"folders that are no class of {TAXONOMY_FILE}: "
            f"{_some(survey.problems.unknown_folders)}; add rows for them, or take them away"
        )
    if survey.num_left_out:
        notes.append(f"left out, as hidden or in no class folder: {survey.num_left_out} files")
    return notes


def _some(names: Sequence[str]) -> str:
    told = ", ".join(map(repr, names[:_NUM_NAMES_TOLD]))
    left = len(names) - _NUM_NAMES_TOLD
    return f"{told} and {left} more" if left > 0 else told
