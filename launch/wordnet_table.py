"""Regenerates, or verifies, the derived WordNet table from WordNet 3.0's own `data.noun`.

On Debian the file comes with `apt-get install wordnet-base`.

    python launch/wordnet_table.py                        # verify the table that is shipped
    python launch/wordnet_table.py --synsets=ids.txt --write  # make it anew for these
"""

from __future__ import annotations

import pathlib
import sys
import uuid

from absl import app, flags

from fine2coarse.cli import startup  # noqa: F401 (output must not fail in any locale)
from fine2coarse.cli.path_flags import define_path, parse_flags
from fine2coarse.taxonomy import wordnet

_DATA_NOUN = define_path(
    "data_noun", "/usr/share/wordnet/data.noun", "WordNet 3.0's file of noun synsets."
)
_SYNSETS = define_path(
    "synsets", None, "File of synset ids, one a line; those of the shipped table where absent."
)
_WRITE = flags.DEFINE_bool("write", False, "Write the table instead of comparing with it.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    path = pathlib.Path(_DATA_NOUN.value)
    if not path.is_file():
        raise app.UsageError(f"no file {path}; on Debian: apt-get install wordnet-base")
    synsets = (
        wordnet.read_synset_list(_SYNSETS.value)
        if _SYNSETS.value
        else wordnet.imagenet21k_synsets()
    )
    text = wordnet.format_table(synsets, wordnet.read_data_noun(path))
    num_synsets = len(text.splitlines()) - 2
    if _WRITE.value:
        partial = wordnet.TABLE_PATH.with_suffix(f".{uuid.uuid4().hex}.tmp")
        partial.write_text(text, encoding="utf-8")
        partial.replace(wordnet.TABLE_PATH)
        print(f"wrote {num_synsets} synsets to {wordnet.TABLE_PATH}")
    elif text == wordnet.TABLE_PATH.read_text(encoding="utf-8"):
        print(f"the table's {num_synsets} synsets and their hypernyms are those of {path}")
    else:
        sys.exit(f"{wordnet.TABLE_PATH} differs from what {path} gives; --write makes it anew")


def run() -> None:
    """Runs the program."""
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
