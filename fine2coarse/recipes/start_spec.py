"""What a backbone starts from."""

from __future__ import annotations

import dataclasses

from fine2coarse.errors import UsageError
from fine2coarse.paths import expand

START_KINDS = ("scratch", "run", "preset", "hub")


@dataclasses.dataclass(frozen=True)
class StartSpec:
    """Where a backbone's first weights come from.

    Attributes:
      kind: 'scratch', 'run' (a finished run's folder, or its export), 'preset' (KerasHub's name
        of one, e.g. `resnet_18_imagenet`, or a folder that its `save_to_preset` wrote) or 'hub'
        (a TF Hub or Kaggle handle, or a folder, of what `fine2coarse export` wrote).
      source: folder, name or handle, `~` and variables expanded; empty for 'scratch'.
    """

    kind: str = "scratch"
    source: str = ""

    def __post_init__(self) -> None:
        """Checks the kind and that it has its source; expands a path."""
        if self.kind not in START_KINDS:
            raise UsageError(f"start.kind is one of {START_KINDS}, got {self.kind!r}")
        if (self.kind == "scratch") == bool(self.source):
            raise UsageError(f"start.kind={self.kind!r} does not go with source={self.source!r}")
        object.__setattr__(self, "source", expand(self.source))
