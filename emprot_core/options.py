"""The options of emprot-run, and what the command line means by them. Nothing heavy is imported here."""

import argparse
import difflib
import re
from collections.abc import Callable
from typing import Any, NoReturn

from emprot_core import __version__
from emprot_core.short_flags import add_short_flags, expand_short_flags

WRONG_CONFIG = 2
"""The exit status where the config or the command line is wrong."""
EXAMPLE = "emprot-run --gin_file=base.gin Trainer.max_epochs=3"
GUIDE = f"""\
overrides:
  Name.parameter=value and --gin.Name.parameter=value override the files and --gin_bindings. A word without quotes is a
  string where the parameter takes one (run.device=cpu, run.directory=runs/x); else a value is written as in a gin file.

example: {EXAMPLE}
"""
_OVERRIDE = re.compile(r"(?:--gin\.)?((?:\w+/)*(?:\w+\.)*\w+\s*=.*)", re.DOTALL)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_CONFIG, f"error: {message}\nusage: {EXAMPLE}\n       emprot-run --help lists every option\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser with every option, which the reference lists too."""
    parser = _Parser(
        "emprot-run",
        usage="emprot-run --gin_file=FILE [option ...] [Name.parameter=value ...]",
        description="Train, compare and judge forecasters of protein dynamics: each experiment one gin file.",
        epilog=GUIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_config_options(parser.add_argument)
    _add_questions(parser.add_argument_group("instead of running").add_mutually_exclusive_group().add_argument)
    return parser


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options as attributes; what is wrong with them ends the process with WRONG_CONFIG and a message."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    options.arguments = list(arguments)
    found = [(argument, _OVERRIDE.fullmatch(argument)) for argument in rest]
    options.overrides = [override[1] for _, override in found if override]
    unknown = [argument for argument, override in found if not override]
    if unknown:
        parser.error(_unknown(unknown, list(parser._option_string_actions)))
    exports_file = bool(options.export) and options.export.endswith(".gin")
    if exports_file:
        options.gin_file.insert(0, options.export)
    elif options.export and (options.gin_file or options.gin_bindings or options.overrides):
        parser.error(
            f"--export={options.export} shows a component alone; a config is exported by its file: --export=base.gin"
        )
    expand_short_flags(options, parser.error)
    about_runs = (options.specs, options.compare, options.runs, options.replay, options.verify)
    asks = any(value is not None for value in (options.list, options.describe, options.export, *about_runs))
    if not options.gin_file and not asks:
        parser.error("--gin_file is missing")
    if options.json and options.compare is None and options.runs is None:
        parser.error("--json goes with --compare or --runs")
    if (options.replay is None) != (options.step is None):
        parser.error("--replay and --step go together: --replay runs/base --step 120")
    if options.untrusted and not (options.check and len(options.gin_file) == 1):
        parser.error("--untrusted goes with --check and one --gin_file")
    return options


def _add_config_options(add: Callable[..., Any]) -> None:
    add("--gin_file", action="append", default=[], metavar="FILE", help="a gin file; may be given again, later wins")
    add(
        "--gin_bindings",
        "--gin_param",
        action="append",
        default=[],
        metavar="TEXT",
        help="gin text that overrides the files, e.g. 'Trainer.max_epochs = 3'; may be given again",
    )
    add("--gin_search_paths", default="", metavar="P,Q", help="more directories to look for gin files in")
    add("--plugin", action="append", default=[], metavar="MODULE", help="import a module of your components first")
    add("--allow_unused", action="store_true", help="warn of bindings that nothing uses instead of refusing them")
    add("--json", action="store_true", help="with --compare or --runs: print JSON")
    add("--untrusted", action="store_true", help="with --check: tell what a stranger's file would do, and do nothing")
    add("--step", type=int, metavar="N", help="with --replay: which optimizer step, from 1 on")
    add("--fresh", action="store_true", help="take the next free run directory instead of going on in the one there is")
    add("--merge", action="store_true", help="join what the shards of a job have made")
    add_short_flags(add)
    add("--debug", action="store_true", help="show tracebacks")


def _add_questions(add: Callable[..., Any]) -> None:
    add("--check", action="store_true", help="find every wrong name, type and place in the config; build nothing")
    add("--dry_run", action="store_true", help="train a few steps, tell what the run will take, and leave nothing")
    add("--print_config", action="store_true", help="every effective binding with the place that gave it")
    add("--list", nargs="?", const="", metavar="KIND", help="the components there are, of one kind or of all")
    add("--describe", metavar="NAME", help="docstring, parameters and defaults of a component")
    add(
        "--export",
        metavar="NAME",
        help="a commented gin file: every parameter of a component; of a gin file, with its overrides, everything that "
        "it builds",
    )
    add("--specs", metavar="RUN", help="the windows that a forecast of a run's test split has to be about, as JSON")
    add("--compare", nargs="+", metavar="RUN", help="the settings and the test scores that differ between runs")
    add("--runs", metavar="DIR", help="every run below a folder, with its state and its figures")
    add("--replay", metavar="RUN", help="with --step: compute a step of a run again, and tell where its loss lies")
    add("--verify", metavar="RUN_DIR", help="check every file of a run against its hash")
    add("--version", action="version", version=f"emprot {__version__}", help="print the version")


def _unknown(arguments: list[str], flags: list[str]) -> str:
    argument = arguments[0]
    name, equals, value = argument.partition("=")
    file = next((text.rpartition("=")[2] for text in arguments if text.endswith(".gin")), None)
    if name.startswith("--gin."):
        return f"{argument} has no value; write {name}=value"
    if not argument.startswith("-"):
        hint = f"; did you mean --gin_file={file}?" if file else ""
        hint = f"; an override is one word: {argument}=value" if "." in argument and not file else hint
        return f"unexpected argument {argument!r}{hint}"
    if equals and _OVERRIDE.fullmatch(argument.lstrip("-")) and "." in name:
        return f"there is no option {name}; an override has no dashes: {argument.lstrip('-')}"
    close = difflib.get_close_matches(name, flags, n=1, cutoff=0.8 if file else 0.6)
    if file and close in ([], ["--gin_file"]):
        return f"there is no option {name}; did you mean --gin_file={file}?"
    return f"there is no option {name}" + (f"; did you mean {close[0]}{equals}{value}?" if close else "")
