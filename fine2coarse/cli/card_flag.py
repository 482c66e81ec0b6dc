"""The flag --config of the programs that take a card."""

from fine2coarse.cli.config_flag import define_config

CONFIG = define_config()
