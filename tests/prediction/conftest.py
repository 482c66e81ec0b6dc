"""The exported runs that these tests share."""

from tests.exported_runs import classifier, make_sample, resnet, vit

__all__ = ["classifier", "make_sample", "resnet", "vit"]
