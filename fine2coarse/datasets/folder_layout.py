"""Which file of a folder of photographs is an image of which class and split; every file counts."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Container, Iterable, Mapping, Sequence

from fine2coarse.archives.archives import Skip, SourceError
from fine2coarse.archives.file_tree import FileTree, ListedFile, is_hidden
from fine2coarse.preparation.digests import hash128
from fine2coarse.preparation.file_batches import BESIDE_SPLITS, HIDDEN, NOT_IN_LAYOUT
from fine2coarse.preparation.image_files import image_id
from fine2coarse.taxonomy.csv_reader import from_rows
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.taxonomy_file import from_bytes
from fine2coarse.taxonomy.text_tables import normalized

TRAIN, VAL, TEST = "train", "val", "test"
DEFAULT_TEST_SHARE = 0.2
MISSING_SPLIT_HINT = (
    "; name another by --config.dataset.eval_split=..., or hold a share of each class out of "
    "train by --config.dataset.options.test_share=0.2"
)
SPLITS = (TRAIN, VAL, TEST)
SPLIT_OF_FOLDER = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "test": TEST,
    "testing": TEST,
}
"""Folders' names, in lower case, and the splits that they mean."""
TAXONOMY_FILE = "taxonomy.csv"
UNSPLIT = ""
_NUM_NAMES_TOLD = 3


class FolderError(SourceError):
    """An image folder that is not laid out as expected."""


@dataclasses.dataclass(frozen=True)
class LabelledFile:
    """An image file with its class.

    Attributes:
      file: where it lies.
      image_id: its path below the root of the photographs.
      label: leaf label.
    """

    file: ListedFile
    image_id: str
    label: int


@dataclasses.dataclass(frozen=True, eq=False)
class FolderLayout:
    """What the files of a folder are.

    Attributes:
      taxonomy: its leaves are the labels.
      splits: split → its files, by name; `UNSPLIT` alone where no folder names a split.
      skips: split (or `UNSPLIT`) → files that are no images of a class, with reasons.
      table_digest: name of taxonomy.csv → `image_checks.hash128` of it; empty where there is none.
      files: all that was listed, to notice changes by.
    """

    taxonomy: Taxonomy
    splits: Mapping[str, Sequence[LabelledFile]]
    skips: Mapping[str, Sequence[Skip]]
    files: Sequence[ListedFile]
    table_digest: Mapping[str, tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class LayoutProblems:
    """What stands in the way of preparing a folder.

    Attributes:
      unknown_folders: folders with files whose path names no class, by name.
      empty_classes: classes (below the split's folder, where there is one) that have no file to
        train on, and class folders with nothing in them, by name.
    """

    unknown_folders: Sequence[str]
    empty_classes: Sequence[str]


@dataclasses.dataclass(frozen=True)
class _Place:
    """A file's path below the root of the photographs."""

    file: ListedFile
    parts: tuple[str, ...]

    @property
    def is_hidden(self) -> bool:
        """Whether it is not one of the user's images."""
        return is_hidden("/".join(self.parts))

    @property
    def split(self) -> str:
        """The split that the first folder names; empty where it names none."""
        is_in_folder = len(self.parts) > 1
        return SPLIT_OF_FOLDER.get(self.parts[0].lower(), UNSPLIT) if is_in_folder else UNSPLIT


def read_layout(tree: FileTree, where: str, *, is_flat: bool) -> FolderLayout:
    """Finds the taxonomy, and every file's class and split.

    A file's class is the folder in its path whose name is a leaf's, or its id; other folders
    may stand above and below that. Where the taxonomy is flat, it is the first folder (below the
    split's).

    Args:
      tree: the files.
      where: what errors call it.
      is_flat: whether the class folders are the leaves, without any taxonomy.csv.

    Raises:
      FolderError: where there is no taxonomy.csv, a class has no file, or folders are not classes.
      TaxonomyError: where the rows of taxonomy.csv contradict each other.
      SourceError: where an archive is damaged.
    """
    layout, problems = survey_layout(tree, where, is_flat=is_flat)
    _check_problems(problems, where, is_flat)
    return layout


def survey_layout(
    tree: FileTree, where: str, *, is_flat: bool
) -> tuple[FolderLayout, LayoutProblems]:
    """As `read_layout`, but folders that are no classes and classes without files are told.

    Raises:
      FolderError: where there is no taxonomy.csv, a class folder lies in another, or files differ
        in how their names are encoded alone.
      TaxonomyError: where the rows of taxonomy.csv contradict each other.
      SourceError: where an archive is damaged.
    """
    listing = tree.list_files()
    files, skips = listing.files, listing.skips
    root = _root(files, is_flat)
    places = [
        _Place(file, pathlib.PurePosixPath(file.name.removeprefix(root)).parts)
        for file in files
        if file.name.startswith(root)
    ]
    skips += [
        Skip(file.name, HIDDEN if is_hidden(file.name) else NOT_IN_LAYOUT, f"not below {root}")
        for file in files
        if not file.name.startswith(root)
    ]
    has_splits = any(place.split and len(place.parts) > 2 for place in places)
    if not has_splits:
        _check_no_deeper_splits(places, where)
    sorter = _Sorter(where, has_splits)
    table_digest = {}
    if is_flat:
        taxonomy = _flat_taxonomy(places, has_splits, where)
    else:
        table, data = _read_table(tree, places, skips, where)
        taxonomy = from_bytes(data, f"{where}: {TAXONOMY_FILE}", is_headed=True)
        table_digest[table.name] = hash128(data)
    sorter.sort(places, taxonomy, is_flat)
    for skip in skips:
        sorter.skip_listed(skip, root)
    problems = sorter.problems(taxonomy, listing.empty_folders, is_flat)
    return FolderLayout(taxonomy, sorter.splits, sorter.skips, files, table_digest), problems


def read_taxonomy(tree: FileTree, where: str) -> Taxonomy:
    """The taxonomy of a folder or archive of photographs, whose taxonomy.csv alone is read.

    Args:
      tree: the files.
      where: what errors call it.

    Raises:
      FolderError: where there is no taxonomy.csv.
      TaxonomyError: where its rows contradict each other.
      SourceError: where an archive is damaged.
    """
    listing = tree.list_files()
    root = _root(listing.files, is_flat=False)
    places = [
        _Place(file, (TAXONOMY_FILE,))
        for file in listing.files
        if file.name == f"{root}{TAXONOMY_FILE}"
    ]
    _, data = _read_table(tree, places, listing.skips, where)
    return from_bytes(data, f"{where}: {TAXONOMY_FILE}", is_headed=True)


def _root(files: Sequence[ListedFile], is_flat: bool) -> str:
    """What stands before the photographs in all names, as archives have it: '' or 'photos/'."""
    names = [file.name for file in files if not is_hidden(file.name)]
    if not is_flat:
        tables = [name for name in names if pathlib.PurePosixPath(name).name == TAXONOMY_FILE]
        return min(tables, key=len, default=TAXONOMY_FILE).removesuffix(TAXONOMY_FILE)
    tops = {pathlib.PurePosixPath(name).parts[0] for name in names}
    deep = all(len(pathlib.PurePosixPath(name).parts) > 2 for name in names)
    if len(tops) == 1 and deep and next(iter(tops)).lower() not in SPLIT_OF_FOLDER:
        return f"{tops.pop()}/"
    return ""


def _read_table(
    tree: FileTree, places: Iterable[_Place], skips: Sequence[Skip], where: str
) -> tuple[ListedFile, bytes]:
    table = next((place.file for place in places if place.parts == (TAXONOMY_FILE,)), None)
    if table is None:
        raise FolderError(
            f"{where}: no {TAXONOMY_FILE} (columns: the levels, finest first){_in_words(skips)}; "
            "its header names the levels, and each row a class folder and what it is, as in "
            "species,kind and below it robin,bird"
        )
    ((_, data),) = tree.read([table])
    return table, data


def _in_words(skips: Sequence[Skip]) -> str:
    """What could not be read at all, for an error about what is missing."""
    counts = collections.Counter(skip.reason for skip in skips if not is_hidden(skip.name))
    if not counts:
        return ""
    told = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
    first = next(skip for skip in skips if not is_hidden(skip.name))
    return f"; {sum(counts.values())} files could not be read ({told}), such as {first.name!r}"


def _check_no_deeper_splits(places: Iterable[_Place], where: str) -> None:
    """Raises FolderError where folders are named as splits, but not at the root."""
    for place in places:
        if place.is_hidden:
            continue
        for depth, part in enumerate(place.parts[1:-1], start=1):
            if part.lower() in SPLIT_OF_FOLDER:
                raise FolderError(
                    f"{where}: {'/'.join(place.parts[: depth + 1])!r} is named as a split, but "
                    f"lies deeper than expected: put {TRAIN}/, {VAL}/ and {TEST}/ directly beside "
                    f"{TAXONOMY_FILE}, with the class folders in them, or rename it"
                )


def _flat_taxonomy(places: Iterable[_Place], has_splits: bool, where: str) -> Taxonomy:
    depth = 1 if has_splits else 0
    in_split = [place for place in places if place.split or not has_splits]
    classes = {
        normalized(place.parts[depth])
        for place in in_split
        if len(place.parts) > depth + 1 and not place.is_hidden
    }
    if not classes:
        raise FolderError(
            f"{where}: no images as <class>/<file> or {{{','.join(SPLITS)}}}/<class>/<file>"
        )
    return from_rows([["class"], *([name] for name in sorted(classes))], where=where)


def _label_of_folder(taxonomy: Taxonomy) -> dict[str, int]:
    """Leaf label by what its folder is called: the leaf's name, or its id, such as a synset's."""
    leaves = list(enumerate(taxonomy.leaf_nodes))
    by_name = {normalized(taxonomy.names[node]): label for label, node in leaves}
    return {normalized(taxonomy.node_ids[node]): label for label, node in leaves} | by_name


class _Sorter:
    """Tells images of classes from all else."""

    def __init__(self, where: str, has_splits: bool) -> None:
        self._where, self._has_splits = where, has_splits
        self.splits: dict[str, list[LabelledFile]] = {}
        self.skips: dict[str, list[Skip]] = {}
        self._unknown: set[str] = set()

    def sort(self, places: Iterable[_Place], taxonomy: Taxonomy, is_flat: bool) -> None:
        """Gives each file its class, or a reason why it has none."""
        label_of = _label_of_folder(taxonomy)
        for place in places:
            if place.parts == (TAXONOMY_FILE,):
                continue
            reason = self._reason_to_skip(place)
            if reason:
                self._skip(place.split, Skip(place.file.name, *reason))
                continue
            folders = place.parts[1 if self._has_splits else 0 : -1]
            wanted = folders[:1] if is_flat else folders
            labels = {label_of[name] for name in map(normalized, wanted) if name in label_of}
            if len(labels) == 1:
                split = place.split if self._has_splits else UNSPLIT
                image = LabelledFile(place.file, image_id(place.parts), labels.pop())
                self.splits.setdefault(split, []).append(image)
            elif labels:
                raise FolderError(
                    f"{self._where}: {place.file.name!r} lies in the folders of {len(labels)} "
                    "classes, one within the other; move one of them out"
                )
            else:
                self._unknown.add("/".join(place.parts[:-1]))

    def _reason_to_skip(self, place: _Place) -> tuple[str, str] | None:
        if place.is_hidden:
            return HIDDEN, ""
        if self._has_splits and not place.split:
            return BESIDE_SPLITS, f"not in {', '.join(f'{split}/' for split in SPLITS)}"
        if len(place.parts) < (3 if self._has_splits else 2):
            return NOT_IN_LAYOUT, "not in a class folder"
        return None

    def skip_listed(self, skip: Skip, root: str) -> None:
        """Counts what the listing itself left out."""
        parts = pathlib.PurePosixPath(skip.name.removeprefix(root)).parts
        split = SPLIT_OF_FOLDER.get(parts[0].lower(), UNSPLIT) if len(parts) > 1 else UNSPLIT
        if is_hidden(skip.name) and ".." not in parts:
            skip = dataclasses.replace(skip, reason=HIDDEN)
        self._skip(split, skip)

    def _skip(self, split: str, skip: Skip) -> None:
        self.skips.setdefault(split if self._has_splits else UNSPLIT, []).append(skip)

    def problems(
        self, taxonomy: Taxonomy, empty_folders: Sequence[str], is_flat: bool
    ) -> LayoutProblems:
        """Where folders and classes do not go together.

        Raises:
          FolderError: where two files would have one image id.
        """
        leaves = [taxonomy.names[node] for node in taxonomy.leaf_nodes]
        classes = _label_of_folder(taxonomy)
        empty = [name for name in empty_folders if _is_class_folder(name, classes)]
        for split in () if is_flat else (TRAIN if self._has_splits else UNSPLIT,):
            with_files = {image.label for image in self.splits.get(split, ())}
            missing = [name for label, name in enumerate(leaves) if label not in with_files]
            empty += [f"{split}/{name}" if split else name for name in missing]
        if not empty and not self._unknown:
            self._check_names()
        return LayoutProblems(sorted(self._unknown), sorted(set(empty)))

    def _check_names(self) -> None:
        ids = collections.Counter(
            image.image_id for images in self.splits.values() for image in images
        )
        twice = [name for name, count in ids.items() if count > 1]
        if twice:
            raise FolderError(
                f"{self._where}: {len(twice)} files have a namesake that differs only in how its "
                f"accents are encoded (Unicode forms NFC and NFD), such as {twice[0]!r}: rename or "
                "remove one of each"
            )


def _check_problems(problems: LayoutProblems, where: str, is_flat: bool) -> None:
    """Raises FolderError where folders and classes do not go together."""
    names = problems.unknown_folders
    if names:
        hint = ""
        if any(_is_not_utf8(name) for name in names):
            hint = "; names that are not UTF-8 are shown as \\udc…: rename them, e.g. convmv"
        raise FolderError(
            f"{where}: {len(names)} class folders are missing from "
            f"{'the class folders' if is_flat else TAXONOMY_FILE}, such as "
            f"{list(names[:_NUM_NAMES_TOLD])}{hint}"
        )
    if problems.empty_classes:
        raise empty_classes(where, problems.empty_classes)


def _is_class_folder(name: str, classes: Container[str]) -> bool:
    return not is_hidden(name) and normalized(pathlib.PurePosixPath(name).name) in classes


def empty_classes(where: str, names: Sequence[str]) -> FolderError:
    """The error that classes have no images."""
    return FolderError(
        f"{where}: classes without images: {list(names)[:5]}; remove the folder, or the row in "
        f"{TAXONOMY_FILE}, or add images"
    )


def _is_not_utf8(name: str) -> bool:
    return any(0xDC80 <= ord(letter) <= 0xDCFF for letter in name)
