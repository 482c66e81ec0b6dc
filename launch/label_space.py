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

from _cli import CONFIG, run_main
from _dataset import DATASET, open_named_dataset
from absl import flags

if TYPE_CHECKING:
    from fine2coarse.labels.space import LabelSpace
    from fine2coarse.labels.spec import Clusters, Context

_OUT = flags.DEFINE_string("out", None, "File to write, .npz; its JSON goes beside it.")
_DESCRIBE = flags.DEFINE_string("describe", None, "Label space (.npz) to describe.")
_AGAINST = flags.DEFINE_list("against", [], "Label spaces (.npz) to compare with.")
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
    record = _record(CONFIG.value.label.to_dict())
    context = _context()
    if _ADVISE.value:
        _advise(record, context)
        return
    for size in _sizes() or (None,):
        _make(record, size, context)


def _record(content: dict[str, Any]) -> Any:
    """The source's record. Before any data is read, so that mistakes show at once."""
    from fine2coarse.labels.spec_mapping import from_mapping

    sizes = _sizes()
    if sizes or _ADVISE.value:
        if content["source"] != "clusters":
            raise ValueError("--advise and config.sizes go with source `clusters`")
        content["options"]["num_clusters"] = max(sizes, default=2)
    if _DROP.value:
        content["options"]["drop_uncovered"] = True
    return from_mapping(content)


def _check_out() -> None:
    if not _OUT.value or not _OUT.value.endswith(".npz"):
        raise ValueError(f"--out is the file to write and ends in .npz; got {_OUT.value!r}")


def _sizes() -> tuple[int, ...]:
    return tuple(CONFIG.value.get("sizes", ()))


def _context() -> "Context":
    dataset = open_named_dataset()
    from fine2coarse.experiment.label_sources import indexed_context
    from fine2coarse.labels.spec_mapping import from_mapping

    if CONFIG.value is None:
        return indexed_context(dataset, "train")
    config = CONFIG.value.to_dict()
    splits = config["dataset"]["train_split"], config["dataset"]["eval_splits"]
    context = indexed_context(dataset, *splits)
    if all(value is None for value in config["target"]["options"].values()):
        return context
    target = from_mapping(config["target"]).build(context)
    return dataclasses.replace(context, target=target)


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
    context = _context()
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


def _advise(record: "Clusters", context: "Context") -> None:
    from fine2coarse.labels.advise import AdviseSpec, advise
    from fine2coarse.labels.describe import advice_table
    from fine2coarse.labels.embeddings import Embeddings

    if context.target is None:
        raise ValueError("--advise needs a target: --config.target.options.level=… or another")
    spec = AdviseSpec(**CONFIG.value.advise.to_dict())
    started = time.monotonic()
    ranking = advise(
        context.images,
        Embeddings.load(record.embeddings, record.ids),
        context.target,
        _sizes(),
        aligned=record.aligned,
        kmeans_spec=record.kmeans,
        spec=spec,
        seed=context.seed_of(record),
    )
    print(advice_table(ranking))
    print(f"{time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    run_main(main, required=())
