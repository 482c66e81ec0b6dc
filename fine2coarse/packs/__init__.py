"""Packs: the images of a recipe as arrays that any backend memory-maps, without TensorFlow.

In: a recipe and its prepared datasets. Out: a folder of arrays with ids, labels, digests and the
taxonomy, which stands for those datasets. Start with `pack.py` for reading one, with `packing.py`
for making one.
"""

from fine2coarse.packs.images import PackedImages
from fine2coarse.packs.layout import PackError, Pixels
from fine2coarse.packs.pack import Pack, PackedDataset, open_pack

__all__ = ["Pack", "PackError", "PackedDataset", "PackedImages", "Pixels", "open_pack"]
