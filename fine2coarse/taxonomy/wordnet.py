"""WordNet 3.0's noun hierarchy above the synsets of ImageNet-21k, from a small derived table.

A synset id such as `n02084071` is the byte offset of the synset in WordNet 3.0's `data.noun`
behind the letter of its part of speech. Edges are hypernym pointers (`@`) only: an instance
pointer (`@i`, as from `Fujiyama` to `volcanic mountain`) does not make a kind.
"""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.text_tables import normalized, read_lines

TABLE_PATH = pathlib.Path(__file__).with_name("wordnet30") / "nouns.tsv"
NUM_LEVELS = 13
COLUMNS = ("synset", "in_imagenet21k", "hypernyms", "words")

BESIDE_IMAGENET21K = ("n04399382",)
"""Synsets outside the 21,843 that collections of images have: `teddy` is a class of
ILSVRC 2012 (and of Tiny ImageNet)."""

Nouns = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]


def read_wordnet(synset_ids: Sequence[str] | None = None) -> Taxonomy:
    """The hypernym graph above some of ImageNet-21k's synsets, with levels '0' to '12'.

    Level k of a synset is the set of synsets at the ends of all hypernym paths of k edges; a
    path that is shorter ends at its last synset. So a synset may have several labels.

    Args:
      synset_ids: the leaves, in label order; all 21,843 in sorted order where None.

    Raises:
      TaxonomyError: naming ids that are malformed, repeat, or are in no path of the table.
    """
    nouns, imagenet21k = _read_table(TABLE_PATH.read_text(encoding="utf-8"))
    leaves = list(imagenet21k if synset_ids is None else synset_ids)
    unknown = [synset for synset in leaves if synset not in nouns]
    if unknown:
        raise TaxonomyError(
            f"{len(unknown)} synset ids are unknown, such as {unknown[:5]}; expected ids of "
            "WordNet 3.0 nouns as in n02084071, among ImageNet-21k's or above them"
        )
    kept = closure(leaves, nouns)
    return Taxonomy.from_parents(
        {synset: nouns[synset][0] for synset in kept},
        leaves,
        names={synset: ", ".join(nouns[synset][1]) for synset in kept},
        levels=[str(hops) for hops in range(NUM_LEVELS)],
        level_kind="hops",
    )


def imagenet21k_synsets() -> tuple[str, ...]:
    """The 21,843 synset ids of ImageNet-21k, sorted."""
    return tuple(_read_table(TABLE_PATH.read_text(encoding="utf-8"))[1])


def synset_names(synset_ids: Iterable[str]) -> dict[str, str]:
    """Display names of those of the synsets that the shipped table has."""
    nouns, _ = _read_table(TABLE_PATH.read_text(encoding="utf-8"))
    return {synset: ", ".join(nouns[synset][1]) for synset in synset_ids if synset in nouns}


def known_synsets() -> frozenset[str]:
    """ImageNet-21k's synset ids, those above them, and `BESIDE_IMAGENET21K`."""
    return frozenset(_read_table(TABLE_PATH.read_text(encoding="utf-8"))[0])


def read_synset_list(path: str | pathlib.Path) -> list[str]:
    """Reads synset ids, one a line; blank lines and what follows a `#` are passed over.

    Raises:
      TaxonomyError: naming the line of an id that repeats or is malformed, or that is not text.
    """
    ids: dict[str, int] = {}
    lines = read_lines(pathlib.Path(path).read_bytes(), str(path))
    for number, line in enumerate(lines, start=1):
        synset = normalized(line.split("#")[0])
        if not synset:
            continue
        if not is_synset_id(synset):
            raise TaxonomyError(f"{path}: line {number}: expected an id like n02084071: {synset!r}")
        if synset in ids:
            raise TaxonomyError(f"{path}: line {number}: {synset} repeats line {ids[synset]}")
        ids[synset] = number
    if not ids:
        raise TaxonomyError(f"{path}: no synset ids in it")
    return list(ids)


def is_synset_id(text: str) -> bool:
    """Whether the text looks like a noun's synset id: n and eight digits."""
    return len(text) == 9 and text[0] == "n" and text[1:].isascii() and text[1:].isdigit()


def read_data_noun(path: str | pathlib.Path) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Reads WordNet's `data.noun` (format: the manual page wndb(5)).

    Returns:
      Synset id → (ids of its hypernyms in the file's order, its words).

    Raises:
      TaxonomyError: where a line is not as the format says, or not text.
    """
    nouns = {}
    for line in read_lines(pathlib.Path(path).read_bytes(), str(path)):
        if line.startswith("  "):  # the licence, at the head of the file
            continue
        try:
            nouns["n" + line[:8]] = _parse_synset(line.split(" | ")[0].split())
        except (IndexError, ValueError) as error:
            raise TaxonomyError(f"{path}: not a line of WordNet's data.noun: {line!r}") from error
    return nouns


def _parse_synset(fields: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    num_words = int(fields[3], 16)
    words = tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * num_words : 2])
    first_pointer = 5 + 2 * num_words
    hypernyms = tuple(
        "n" + fields[position + 1]
        for position in range(first_pointer, first_pointer + 4 * int(fields[first_pointer - 1]), 4)
        if fields[position] == "@" and fields[position + 2] == "n"
    )
    return hypernyms, words


def closure(synsets: Iterable[str], nouns: Nouns) -> list[str]:
    """The synsets and everything above them, sorted by id."""
    seen = set(synsets)
    pending = list(seen)
    while pending:
        for above in nouns[pending.pop()][0]:
            if above not in seen:
                seen.add(above)
                pending.append(above)
    return sorted(seen)


def format_table(synsets: Sequence[str], nouns: Nouns) -> str:
    """The derived table as text: the synsets, the few beside them, all above; one a line.

    Raises:
      TaxonomyError: naming synsets that `nouns` lacks.
    """
    rows = {*synsets, *BESIDE_IMAGENET21K}
    missing = sorted(synset for synset in rows if synset not in nouns)
    if missing:
        raise TaxonomyError(f"{len(missing)} synsets are not in data.noun: {missing[:5]}")
    wanted = set(synsets)
    text = io.StringIO()
    text.write("# Derived from WordNet 3.0; see LICENSE.txt in this folder.\n")
    writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
    writer.writerow(COLUMNS)
    for synset in closure(rows, nouns):
        hypernyms, words = nouns[synset]
        writer.writerow([synset, int(synset in wanted), " ".join(hypernyms), "|".join(words)])
    return text.getvalue()


def make_table(data_noun: str | pathlib.Path, synsets: str | pathlib.Path = "") -> str:
    """The derived table as text, from WordNet's own file.

    Args:
      data_noun: WordNet 3.0's file of noun synsets.
      synsets: file of synset ids, one a line; those of the shipped table where empty.

    Raises:
      TaxonomyError: where there is no such file, or it is not of that format.
    """
    if not pathlib.Path(data_noun).is_file():
        raise TaxonomyError(f"no file {data_noun}; on Debian: apt-get install wordnet-base")
    ids = read_synset_list(synsets) if synsets else imagenet21k_synsets()
    return format_table(ids, read_data_noun(data_noun))


def _read_table(text: str) -> tuple[dict[str, tuple[tuple[str, ...], tuple[str, ...]]], list[str]]:
    nouns: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    imagenet21k: list[str] = []
    for line in text.splitlines()[2:]:
        synset, in_imagenet21k, hypernyms, words = line.split("\t")
        nouns[synset] = (tuple(hypernyms.split()), tuple(words.split("|")))
        if in_imagenet21k == "1":
            imagenet21k.append(synset)
    return nouns, imagenet21k
