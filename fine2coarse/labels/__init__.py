"""Label spaces: what the images of a dataset are labelled with, and the ways to make them."""

from fine2coarse.labels.space import LabelSpace, LabelSpaceError

__all__ = ["LabelSpace", "LabelSpaceError"]
