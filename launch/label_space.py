"""Makes or describes a label space, or ranks numbers of clusters.

fine2coarse label_space --config=labels:level --dataset=demo --data_dir=data \\
  --config.label.options.level=middle --out=middle.npz
fine2coarse label_space --describe=middle.npz --dataset=demo --data_dir=data --against=fine.npz
fine2coarse label_space --config=labels:clusters --dataset=demo --data_dir=data \\
  --config.target.options.level=superclass --config.label.options.embeddings=e.npy --advise
"""

import pathlib

from absl import flags

from fine2coarse.claims import hold_file
from fine2coarse.cli.card_flag import CONFIG
from fine2coarse.cli.named_dataset import DATASET, open_named_dataset
from fine2coarse.cli.path_flags import define_path, define_paths
from fine2coarse.cli.program import run_main
from fine2coarse.errors import UsageError
from fine2coarse.recipes.label_card import LabelCard

_OUT = define_path("out", None, "File to write, .npz; its JSON goes beside it.")
_DESCRIBE = define_path("describe", None, "Label space (.npz) to describe.")
_AGAINST = define_paths("against", [], "Label spaces (.npz) to compare with.")
_ADVISE = flags.DEFINE_boolean("advise", False, "Rank numbers of clusters (source: clusters).")
_DROP = flags.DEFINE_boolean("drop_uncovered", False, "Leave out leaves that no class covers.")


def main() -> None:
    if _DESCRIBE.value:
        _describe(pathlib.Path(_DESCRIBE.value))
        return
    if CONFIG.value is None:
        raise UsageError("--config=labels:SOURCE is needed, or --describe=FILE")
    if not _ADVISE.value and not (_OUT.value or "").endswith(".npz"):
        raise UsageError(f"--out is the file to write and ends in .npz; got {_OUT.value!r}")
    card = _card()
    from fine2coarse.studies.before_data import check_card

    check_card(card)
    dataset = open_named_dataset()
    from fine2coarse.studies.label_files import card_context, make_files, rank_sizes

    context = card_context(dataset, card)
    if _ADVISE.value:
        print(rank_sizes(card, context))
        return
    with hold_file(pathlib.Path(_OUT.value)):
        for text in make_files(card, context, pathlib.Path(_OUT.value), _against()):
            print(text, flush=True)


def _card() -> LabelCard:
    """What --config says, for the images of --dataset where that is given."""
    content = CONFIG.value.to_dict()
    if DATASET.value and isinstance(content.get("dataset"), dict):
        content["dataset"]["name"] = DATASET.value
    if _DESCRIBE.value:
        content["label"] = {"source": "per_image"}  # none is made: its options need not be given
    elif _DROP.value:
        content["label"]["options"]["drop_uncovered"] = True
    return LabelCard.from_config(content, advise=_ADVISE.value)


def _describe(path: pathlib.Path) -> None:
    from fine2coarse.labels.describe import summary
    from fine2coarse.labels.space import LabelSpace

    card = None if CONFIG.value is None else _card()
    space = LabelSpace.load(path)
    if not DATASET.value and card is None:
        if _AGAINST.value:
            raise UsageError("--against needs --dataset and --data_dir: images are compared")
        print(
            summary(space), "  (class sizes and agreement: give --dataset and --data_dir)", sep="\n"
        )
        return
    dataset = open_named_dataset()
    from fine2coarse.studies.label_files import card_context, describe_space

    print(describe_space(space, card_context(dataset, card), _against()))


def _against() -> list:
    from fine2coarse.labels.space import LabelSpace

    return [LabelSpace.load(path) for path in _AGAINST.value]


if __name__ == "__main__":
    run_main(main)
