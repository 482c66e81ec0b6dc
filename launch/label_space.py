"""Makes a label space of a dataset, describes one, or advises on the number of clusters.

python launch/label_space.py --config=configs/labels.py:level --dataset=demo --data_dir=data \
  --config.label.options.level=middle --out=middle.npz
python launch/label_space.py --describe=middle.npz --dataset=demo --data_dir=data \
  --against=fine.npz
python launch/label_space.py --config=configs/labels.py:clusters --dataset=demo --data_dir=data \
  --config.target.options.level=superclass --config.label.options.embeddings=e.npy --advise
"""

import dataclasses
import pathlib
import time
from typing import TYPE_CHECKING, Any

from absl import flags

from fine2coarse.cli.named_dataset import DATASET, open_named_dataset
from fine2coarse.cli.path_flags import define_path, define_paths
from fine2coarse.cli.program import CONFIG, run_main

if TYPE_CHECKING:
    from fine2coarse.labels.space import LabelSpace
    from fine2coarse.labels.spec import Clusters, Context
    from fine2coarse.recipes.label_card import LabelCard

_OUT = define_path("out", None, "File to write, .npz; its JSON goes beside it.")
_DESCRIBE = define_path("describe", None, "Label space (.npz) to describe.")
_AGAINST = define_paths("against", [], "Label spaces (.npz) to compare with.")
_ADVISE = flags.DEFINE_boolean("advise", False, "Rank numbers of clusters (source: clusters).")
_DROP = flags.DEFINE_boolean("drop_uncovered", False, "Leave out leaves that no class covers.")


def main() -> None:
    if _DESCRIBE.value:
        _describe_file(pathlib.Path(_DESCRIBE.value))
        return
    if CONFIG.value is None:
        raise ValueError("--config=configs/labels.py:SOURCE is needed, or --describe=FILE")
    if not _ADVISE.value:
        _check_out()
    card = _card()
    record = _record(card)
    if _ADVISE.value:
        _advise(record, _context(card), card)
        return
    from fine2coarse.claims import hold_file

    context = _context(card)
    with hold_file(pathlib.Path(_OUT.value)):
        for size in card.sizes or (None,):
            _make(record, size, context)


def _card() -> "LabelCard":
    """What --config says, for the images of --dataset where that is given."""
    from fine2coarse.recipes.label_card import LabelCard
    from fine2coarse.schema import parse

    content = CONFIG.value.to_dict()
    if DATASET.value and isinstance(content.get("dataset"), dict):
        content["dataset"]["name"] = DATASET.value
    return parse(LabelCard, content)


def _record(card: "LabelCard") -> Any:
    """The source's record. Before any data is read, so that mistakes show at once."""
    from fine2coarse.labels.spec_mapping import from_mapping

    options = dict(card.label.options)
    if card.sizes or _ADVISE.value:
        if card.label.source != "clusters":
            raise ValueError("--advise and config.sizes go with source `clusters`")
        options["num_clusters"] = max(card.sizes, default=2)
    if _DROP.value:
        options["drop_uncovered"] = True
    return from_mapping({"source": card.label.source, "options": options})


def _check_out() -> None:
    if not _OUT.value or not _OUT.value.endswith(".npz"):
        raise ValueError(f"--out is the file to write and ends in .npz; got {_OUT.value!r}")


def _context(card: "LabelCard | None") -> "Context":
    dataset = open_named_dataset()
    from fine2coarse.studies.label_spaces import indexed_context, make_label_space

    if card is None:
        return indexed_context(dataset, "train")
    context = indexed_context(dataset, card.dataset.train_split, card.dataset.eval_splits)
    if not card.has_target:
        return context
    return dataclasses.replace(context, target=make_label_space(card.target, context))


def _make(record: Any, size: int | None, context: "Context") -> None:
    from fine2coarse.labels.spec import Clusters

    out = pathlib.Path(_OUT.value)
    if size is not None:
        record = dataclasses.replace(record, num_clusters=size)
        out = out.with_name(f"{out.stem}-{size}.npz")
    started = time.monotonic()
    if isinstance(record, Clusters):
        space, centroids = record.build_with_centroids(context)
        centroids_file = out.with_name(out.stem + ".centroids.npz")
        out.parent.mkdir(parents=True, exist_ok=True)
        centroids.save(centroids_file)
        print(f"centroids, to label new images with: {centroids_file}")
    else:
        space = record.build(context)
    space.save(out)
    print(f"wrote {out} and {out.name}.json in {time.monotonic() - started:.1f} s")
    _describe(space, context)


def _describe_file(path: pathlib.Path) -> None:
    from fine2coarse.labels.describe import summary
    from fine2coarse.labels.space import LabelSpace

    space = LabelSpace.load(path)
    if not DATASET.value and CONFIG.value is None:
        if _AGAINST.value:
            raise ValueError("--against needs --dataset and --data_dir: images are compared")
        print(summary(space))
        print("  (class sizes and agreement: give --dataset and --data_dir)")
        return
    context = _context(None if CONFIG.value is None else _card())
    context.images.check(space)
    _describe(space, context)


def _describe(space: "LabelSpace", context: "Context") -> None:
    from fine2coarse.labels.describe import agreement_table, summary, with_images
    from fine2coarse.labels.space import LabelSpace

    print(summary(space))
    print(with_images(space, context.images))
    others = [LabelSpace.load(path) for path in _AGAINST.value]
    if context.target is not None:
        others.insert(0, dataclasses.replace(context.target, name=f"target {context.target.name}"))
    if others:
        print(agreement_table(space, others, context.images))


def _advise(record: "Clusters", context: "Context", card: "LabelCard") -> None:
    from fine2coarse.labels.advise import advise
    from fine2coarse.labels.describe import advice_table
    from fine2coarse.labels.embeddings import Embeddings

    if context.target is None:
        raise ValueError("--advise needs a target: --config.target.options.level=… or another")
    started = time.monotonic()
    ranking = advise(
        context.images,
        Embeddings.load(record.embeddings, record.ids),
        context.target,
        card.sizes,
        aligned=record.aligned,
        kmeans_spec=record.kmeans,
        spec=card.advise,
        seed=context.seed_of(record),
    )
    print(advice_table(ranking))
    print(f"{time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    run_main(main, required=())
