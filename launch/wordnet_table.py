"""Verifies or remakes the WordNet table that is shipped.

It is derived from WordNet 3.0's own `data.noun`.

On Debian the file comes with `apt-get install wordnet-base`.

  fine2coarse wordnet_table                           # verify the table that is shipped
  fine2coarse wordnet_table --synsets=ids.txt --write # make it anew for these
"""

from absl import flags

from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main

_DATA_NOUN = define_path(
    "data_noun", "/usr/share/wordnet/data.noun", "WordNet 3.0's file of noun synsets."
)
_SYNSETS = define_path(
    "synsets", "", "File of synset ids, one a line; those of the shipped table where absent."
)
_WRITE = flags.DEFINE_bool("write", False, "Write the table instead of comparing with it.")


def main() -> None:
    from fine2coarse.errors import FailedError
    from fine2coarse.files import write_atomic
    from fine2coarse.taxonomy.wordnet import TABLE_PATH, make_table

    source = _DATA_NOUN.value
    text = make_table(source, _SYNSETS.value)
    num_synsets = len(text.splitlines()) - 2
    if _WRITE.value:
        write_atomic(TABLE_PATH, text)
        print(f"wrote {num_synsets} synsets to {TABLE_PATH}")
    elif text == TABLE_PATH.read_text(encoding="utf-8"):
        print(f"the table's {num_synsets} synsets and their hypernyms are those of {source}")
    else:
        raise FailedError(f"{TABLE_PATH} differs from what {source} gives; --write makes it anew")


if __name__ == "__main__":
    run_main(main)
