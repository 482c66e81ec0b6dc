"""Lists the fields of a recipe: type, default, meaning; what --config.FIELD sets.

fine2coarse fields                          the fields at the top
fine2coarse fields pretrain.optimizer       a field and all that it holds
fine2coarse fields warmup                   every field with that in its name
fine2coarse fields --of=label_space         of the card that `fine2coarse label_space` takes
"""

import dataclasses
import json

from absl import flags

from fine2coarse.cli.program import run_main
from fine2coarse.errors import UsageError

_OF = flags.DEFINE_enum(
    "of", "study", ["study", "label_space"], "The command whose --config is meant."
)
_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "What to print.")
_OPERATIONAL = "Operational: no number depends on it, and it may change within a study."


def main(arguments: list[str]) -> None:
    from fine2coarse.recipes import field_list
    from fine2coarse.recipes.label_card import LabelCard
    from fine2coarse.recipes.recipe import Recipe

    if len(arguments) > 1:
        raise UsageError(f"fields takes one name, or a part of one; got {arguments}")
    fields = field_list.list_fields(Recipe if _OF.value == "study" else LabelCard)
    as_json = _FORMAT.value == "json"
    if arguments:
        fields = field_list.find_fields(fields, arguments[0])
    elif not as_json:
        fields = field_list.overview(fields)
    if as_json:
        print(json.dumps([dataclasses.asdict(field) for field in fields], indent=1))
        return
    print(field_list.as_text(fields))
    if not arguments:
        print("\nWhat a field holds: fine2coarse fields NAME")
    elif any(field.is_operational for field in fields):
        print(f"\n{_OPERATIONAL}")


if __name__ == "__main__":
    run_main(main, takes_arguments=True)
