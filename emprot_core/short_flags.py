"""Flags of emprot-run that are short for a gin file with some bindings. Nothing heavy is imported here."""

import argparse
import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

SHORT_FOR = {
    "export_weights": ("export_weights.gin", "RUN"),
    "check_plugin": ("check_plugin.gin", "MODULE"),
    "new_plugin": ("new_plugin.gin", "NAME"),
    "report": ("report.gin", "RUNS"),
}
"""By flag the gin file, and the macro of it that the flag sets."""
ONLY_WITH = {
    "kind": ("new_plugin", "--new_plugin my_lab --kind loss,hook"),
    "output": ("report", "--report runs/base --output base.html"),
    "jobs": ("sweep", "--sweep 'run.seed=[0, 1, 2]' --jobs 2"),
    "search": ("sweep", "--sweep 'Name.parameter=log(1e-4, 1e-2)' --search random --trials 20"),
    "trials": ("sweep", "--sweep 'Name.parameter=log(1e-4, 1e-2)' --search random --trials 20"),
}
_OF_THE_SWEEP = ("run.directory", "run.launcher", "PRUNE", "STORAGE", "SEARCH_SEED")
"""Bindings that are not of every trial: of the directory, and macros of sweep.gin."""
_LAUNCHER = re.compile(r"run\.launcher\s*=\s*@(?:\w+\.)*(\w+)")


def add_short_flags(add: Callable[..., Any]) -> None:
    """Add the flags to a parser."""
    add(
        "--export_weights",
        metavar="RUN",
        help="write the weights of a run as safetensors, and its model by torch.export",
    )
    add("--new_plugin", metavar="NAME", help="write the beginning of a plugin: a package, its tests and gin files")
    add("--kind", metavar="K,L", help="with --new_plugin: the kinds of its components; a model and a hook by default")
    add("--check_plugin", metavar="MODULE", help="try every part of a plugin on the embedded sample, without training")
    add(
        "--report", nargs="+", metavar="RUN", help="write one HTML page about runs: verdict, figures, structure, config"
    )
    add("--output", metavar="FILE", help="with --report: the page; report.html in the first run by default")
    add(
        "--sweep",
        nargs="+",
        metavar="NAME=[A,B]",
        help="run the config once for every combination of values; also NAME=log(a,b), uniform(a,b) and int(a,b)",
    )
    add("--repeat", metavar="WHAT", help="run it for seeds=5, or for groups: leave out one protein after the other")
    add("--jobs", type=int, metavar="N", help="with --sweep or --repeat: so many runs at a time")
    add("--search", choices=("grid", "random", "tpe"), help="with --sweep: how trials are chosen; grid by default")
    add("--trials", type=int, metavar="N", help="with --search: how many trials in all")


def expand_short_flags(options: argparse.Namespace, refuse: Callable[[str], Any]) -> None:
    """Put a gin file and bindings in the place of the flags that are short for them.

    Args:
        refuse: ends the process with a message.
    """
    sweeps = options.sweep is not None or options.repeat is not None
    for flag, (with_flag, example) in ONLY_WITH.items():
        is_there = sweeps if with_flag == "sweep" else getattr(options, with_flag) is not None
        if getattr(options, flag) is not None and not is_there:
            refuse(f"--{flag} goes with --{with_flag}: {example}")
    for flag, (file, macro) in SHORT_FOR.items():
        if (value := getattr(options, flag)) is not None:
            options.gin_file.insert(0, file)
            options.overrides.insert(0, f"{macro}={value!r}")
    if options.kind is not None:
        options.overrides.append(f"KINDS={options.kind.split(',')!r}")
    if options.output is not None:
        options.overrides.append(f"OUTPUT={options.output!r}")
    if options.check_plugin is not None:
        options.plugin.append(options.check_plugin)
    if sweeps:
        _expand_sweep(options, refuse)


def _expand_sweep(options: argparse.Namespace, refuse: Callable[[str], Any]) -> None:
    """The config becomes the arguments of every trial; the directory is that of the sweep."""
    if not options.gin_file:
        refuse("--gin_file is missing: the config whose values --sweep or --repeat change")
    values = options.sweep or []
    given_all = [*options.overrides, *values]
    launchers = [found[1] for text in given_all if (found := _LAUNCHER.match(text))]
    prefixes = (*_OF_THE_SWEEP, *(f"{name}." for name in launchers), *(f"launchers.{name}." for name in launchers))
    own = [text for text in given_all if text.startswith(prefixes)]
    arguments = [f"--gin_file={file}" for file in options.gin_file]
    arguments += [f"--gin_bindings={text}" for text in options.gin_bindings]
    arguments += [f"--plugin={module}" for module in options.plugin]
    arguments += [f"--gin_search_paths={options.gin_search_paths}"] if options.gin_search_paths else []
    arguments += ["--allow_unused"] if options.allow_unused else []
    arguments += [text for text in options.overrides if text not in own]
    given = {"ARGUMENTS": arguments, "VALUES": [text for text in values if text not in own], "REPEAT": options.repeat}
    given |= {"SEARCH": options.search or "grid", "TRIALS": options.trials, "JOBS": options.jobs or 1}
    directory = f"run.directory={str(PurePath('sweeps', PurePath(options.gin_file[0]).stem))!r}"
    options.overrides = [*(f"{macro}={value!r}" for macro, value in given.items()), directory, *own]
    options.gin_file, options.gin_bindings = ["sweep.gin"], []
