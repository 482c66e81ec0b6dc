"""Which backbone: its name, the size of its images, its options."""

from __future__ import annotations

import dataclasses

from fine2coarse.errors import UsageError
from fine2coarse.nearest import unknown

RESNETS = ("resnet18", "resnet34", "resnet50")
VIT_PATCH_PX = {"vit_ti16": 16, "vit_s16": 16, "vit_b16": 16, "vit_b32": 32, "vit_l16": 16}
# B_* are the B-MLPs of arXiv 2306.13575, S_* its S-MLPs; the smallest is ours, for tries.
MLPS = (
    "mlp_B_2-Wi_64",
    "mlp_B_6-Wi_512",
    "mlp_B_12-Wi_512",
    "mlp_B_6-Wi_1024",
    "mlp_B_12-Wi_1024",
    "mlp_S_6-Wi_512",
    "mlp_S_6-Wi_1024",
)
BACKBONES = ("resnet_tiny", "resnet_small", *RESNETS, *VIT_PATCH_PX, *MLPS)


class UnknownBackboneError(UsageError):
    """A backbone name that there is none of."""


@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """What a backbone is built from.

    Attributes:
      name: which one; `fine2coarse backbones` and `list_backbones` list them.
      image_size_px: side of the square input image in pixels.
      small_stem: for resnet18, 34 and 50 at 32 to 64 px: a first convolution that keeps the
        resolution, and no pooling after it.
      dropout_rate: inside the blocks of a ViT or MLP, 0 to below 1.
    """

    name: str
    image_size_px: int
    small_stem: bool = False
    dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        """Checks the name and the size."""
        if self.name not in BACKBONES:
            raise UnknownBackboneError(unknown("backbone", self.name, backbone_names()))
        if self.image_size_px < 8:
            raise UsageError(f"image_size_px must be at least 8, got {self.image_size_px}")
        patch = VIT_PATCH_PX.get(self.name, 1)
        if self.image_size_px % patch:
            raise UsageError(
                f"{self.name} cuts the image into patches of {patch} px; image_size_px must be a "
                f"multiple, got {self.image_size_px}"
            )
        if self.small_stem and self.name not in RESNETS:
            raise UsageError(f"small_stem is for {', '.join(RESNETS)}; got {self.name!r}")
        if not 0 <= self.dropout_rate < 1:
            raise UsageError(f"dropout_rate must be in [0, 1), got {self.dropout_rate}")
        if self.dropout_rate and self.name not in (*VIT_PATCH_PX, *MLPS):
            raise UsageError(f"dropout_rate is for ViTs and MLPs; got {self.name!r}")


def backbone_names() -> tuple[str, ...]:
    """Names that `BackboneSpec` accepts."""
    return tuple(sorted(BACKBONES))
