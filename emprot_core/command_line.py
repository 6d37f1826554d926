"""The config that a command line of emprot-run names."""

import argparse
from collections.abc import Sequence

from emprot_core import config
from emprot_core.options import parse


def config_of(arguments: Sequence[str]) -> config.Config:
    """The checked config of the arguments that emprot-run would be given.

    Raises:
        ConfigError: the config is wrong.
        SystemExit: the arguments are, as a message on stderr says.
    """
    return config_of_options(parse(list(arguments)))


def config_of_options(options: argparse.Namespace) -> config.Config:
    """The same, of parsed arguments."""
    return config.load(
        options.gin_file,
        options.gin_bindings,
        [path for path in options.gin_search_paths.split(",") if path],
        options.allow_unused,
        options.plugin,
        options.overrides,
    )
