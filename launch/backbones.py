"""Lists the backbones: parameters, FLOPs, image sizes, source.

fine2coarse backbones
fine2coarse backbones --format=json
"""

import dataclasses
import json

from absl import flags

from fine2coarse.cli.program import run_main

_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "What to print.")


def main() -> None:
    from fine2coarse.recipes.backbone_list import backbones_table, list_backbones

    backbones = list_backbones()
    if _FORMAT.value == "json":
        print(json.dumps([dataclasses.asdict(facts) for facts in backbones], indent=1))
    else:
        print(backbones_table(backbones))


if __name__ == "__main__":
    run_main(main)
