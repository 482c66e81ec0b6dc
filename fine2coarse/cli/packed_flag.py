"""The flag --packed of the programs that read a recipe's images."""

from fine2coarse.cli.path_flags import define_path

PACKED = define_path(
    "packed", None, "Folder made by `fine2coarse pack`, to read in place of the datasets."
)
