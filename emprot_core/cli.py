"""emprot-run: one experiment per gin file, from the command line.

Exit status: 0 done; 2 the config or the command line is wrong, all faults listed, nothing was run; 143 preempted and
130 interrupted; 1 anything else. Nothing heavy is imported before the command line is understood.
"""

import argparse
import difflib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from emprot_core import __version__

EXAMPLE = "emprot-run --gin_file=base.gin Trainer.max_epochs=3"
GUIDE = f"""\
overrides:
  Name.parameter=value and --gin.Name.parameter=value override the files and --gin_bindings. A word without quotes is a
  string where the parameter takes one (run.device=cpu, run.directory=runs/x); else a value is written as in a gin file.

example: {EXAMPLE}
"""
WRONG_CONFIG = 2
FAILED = 1
INTERRUPTED = 130
_OVERRIDE = re.compile(r"(?:--gin\.)?((?:\w+/)*(?:\w+\.)*\w+\s*=.*)", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and give the exit status."""
    try:
        return _checked(_parse(sys.argv[1:] if argv is None else list(argv)))
    except SystemExit as leave:  # argparse: --help, --version, a wrong flag
        return leave.code if isinstance(leave.code, int) else FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_CONFIG, f"error: {message}\nusage: {EXAMPLE}\n       emprot-run --help lists every option\n")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(
        "emprot-run",
        usage="emprot-run --gin_file=FILE [option ...] [Name.parameter=value ...]",
        description="Train, compare and judge forecasters of protein dynamics: each experiment one gin file.",
        epilog=GUIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
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
    add("--fresh", action="store_true", help="take the next free run directory instead of going on in the one there is")
    add("--debug", action="store_true", help="show tracebacks")
    do = parser.add_argument_group("instead of running").add_mutually_exclusive_group().add_argument
    do("--check", action="store_true", help="find every wrong name, type and place in the config; build nothing")
    do("--print_config", action="store_true", help="every effective binding with the place that gave it")
    do("--list", nargs="?", const="", metavar="KIND", help="the components there are, of one kind or of all")
    do("--describe", metavar="NAME", help="docstring, parameters and defaults of a component")
    do(
        "--export",
        metavar="NAME",
        help="a commented gin file: every parameter of a component; of a gin file, with its overrides, everything that "
        "it builds",
    )
    do("--verify", metavar="RUN_DIR", help="check every file of a run against its hash")
    do("--version", action="version", version=f"emprot {__version__}", help="print the version")
    options, rest = parser.parse_known_args(arguments)
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
    asks = any(value is not None for value in (options.list, options.describe, options.export, options.verify))
    if not options.gin_file and not asks:
        parser.error("--gin_file is missing")
    return options


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


def _checked(options: argparse.Namespace) -> int:
    """Do it, with every error of a user in one message and without a traceback."""
    from emprot_core.config import ConfigError
    from emprot_core.registry import UnknownComponent

    try:
        return _do(options)
    except ConfigError as error:
        if _is_first_rank():
            print(error, file=sys.stderr)
        return WRONG_CONFIG
    except (ValueError, OSError, UnknownComponent, ModuleNotFoundError) as error:  # the last: an extra is missing
        if options.debug:
            _trace(error)
        else:
            lines = [f"error: {error}", *getattr(error, "__notes__", ()), "--debug shows the traceback"]
            print("\n  ".join(lines), file=sys.stderr)
    except Exception as error:
        _trace(error)
    return FAILED


def _trace(error: Exception) -> None:
    traceback.print_exception(error)
    if sys.version_info < (3, 11):  # later ones print the notes themselves
        print(*getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)


def _do(options: argparse.Namespace) -> int:
    if options.verify is not None:
        return _verify(options.verify)
    if not options.gin_file or options.list is not None or options.describe is not None:
        return _tell(options)
    from emprot_core import config

    loaded = config.load(
        options.gin_file,
        options.gin_bindings,
        [path for path in options.gin_search_paths.split(",") if path],
        options.allow_unused,
        options.plugin,
        options.overrides,
    )
    if _is_first_rank():
        for warning in loaded.warnings:
            print(warning, file=sys.stderr)
    if options.export is not None:
        from emprot_core.config.export import export_config

        return _print(export_config(loaded))
    if options.print_config:
        from emprot_core.config.describe import print_config

        return _print(print_config(loaded))
    if options.check:
        return _print(f"no problem found in {', '.join(loaded.files)}; run.job = {loaded.get('run.job')}")
    from emprot_core.jobs.run import run_job

    return run_job(loaded, fresh=options.fresh)


def _tell(options: argparse.Namespace) -> int:
    """--list, --describe and --export of what is registered."""
    from emprot_core.config.describe import describe, list_components
    from emprot_core.config.export import export_component
    from emprot_core.config.imports import import_all

    imported = import_all(options.plugin, [])
    if options.describe is not None:
        _print(describe(options.describe))
    elif options.export is not None:
        _print(export_component(options.export, imported.modules))
    else:
        _print(list_components(options.list))
    for fault in imported.faults:
        print(fault, file=sys.stderr)
    return WRONG_CONFIG if imported.faults else 0


def _verify(directory: str) -> int:
    from emprot_core.checkpoint import verify_run

    lines = verify_run(directory)
    _print("\n".join(lines))
    return FAILED if any("damaged" in line for line in lines) else 0


def _is_first_rank() -> bool:
    """Every rank of torchrun finds the same in a config: one tells of it."""
    return os.environ.get("RANK", "0") == "0"


def _print(text: str) -> int:
    """Print and flush; that the reader of a pipe had enough (--list | head) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at exit fails again
    return 0


if __name__ == "__main__":
    sys.exit(main())
