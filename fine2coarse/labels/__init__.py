"""Label spaces: what the images of a dataset are labelled with, and the ways to make them.

In: a taxonomy and an index of images. Out: a `LabelSpace`: class ids, and a table from leaf or
image to classes. Start with `space.py`, then `spec.py`.
"""

from fine2coarse.labels.space import LabelSpace, LabelSpaceError

__all__ = ["LabelSpace", "LabelSpaceError"]
