"""emprot-run: one experiment per gin file, from the command line.

Exit status: 0 done; 2 the config or the command line is wrong, all faults listed, nothing was run; 143 preempted and
130 interrupted; 1 anything else. Nothing heavy is imported before the command line is understood.
"""

import argparse
import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from emprot_core import __version__

EXAMPLE = "emprot-run --gin_file=base.gin --gin_bindings='Trainer.max_epochs=3'"
WRONG_CONFIG = 2
FAILED = 1
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and give the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        options = _parse(arguments)
        return _usage() if not arguments else _checked(options)
    except SystemExit as leave:  # argparse: --help, --version, a wrong flag
        return leave.code if isinstance(leave.code, int) else FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _usage() -> int:
    print(f"usage: {EXAMPLE}\n       emprot-run --list | --help", file=sys.stderr)
    return WRONG_CONFIG


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_CONFIG, f"error: {message}\nusage: {EXAMPLE}\n       emprot-run --help lists every option\n")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(
        "emprot-run",
        description="Train, compare and judge forecasters of protein dynamics: each experiment one gin file.",
        epilog=f"example: {EXAMPLE}",
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
    do("--check", action="store_true", help="find every fault of the config, build nothing")
    do("--print_config", action="store_true", help="every effective binding with the place that gave it")
    do("--list", nargs="?", const="", metavar="KIND", help="the components there are, of one kind or of all")
    do("--describe", metavar="NAME", help="docstring, parameters and defaults of a component")
    do("--verify", metavar="RUN_DIR", help="check every checkpoint of a run against its hash")
    do("--version", action="version", version=f"emprot {__version__}", help="print the version")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_unknown(unknown[0], list(parser._option_string_actions)))
    if not options.gin_file and not any(
        value is not None for value in (options.list, options.describe, options.verify)
    ):
        parser.error("--gin_file is missing")
    return options


def _unknown(argument: str, flags: list[str]) -> str:
    name, _, value = argument.partition("=")
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}" + (
            f"; did you mean --gin_file={argument}?" if ".gin" in argument else ""
        )
    close = difflib.get_close_matches(name, flags, n=1)
    hint = f"; did you mean {close[0]}{'=' + value if value else ''}?" if close else ""
    return f"there is no option {name}{hint}"


def _checked(options: argparse.Namespace) -> int:
    """Do it, with every error of a user in one message and without a traceback."""
    from emprot_core.config import ConfigError
    from emprot_core.registry import UnknownComponent

    try:
        return _do(options)
    except ConfigError as error:
        if os.environ.get("RANK", "0") == "0":  # the same on every rank
            print(error, file=sys.stderr)
        return WRONG_CONFIG
    except BrokenPipeError:  # the reader of a pipe had enough, as in --list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, UnknownComponent) as error:
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
    if options.list is not None or options.describe is not None:
        return _tell(options)
    from emprot_core import config

    search_paths = [path for path in options.gin_search_paths.split(",") if path]
    loaded = config.load(
        options.gin_file, options.gin_bindings, search_paths, options.allow_unused, plugins=options.plugin
    )
    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    if options.print_config:
        from emprot_core.config.describe import print_config

        _print(print_config(loaded))
        return 0
    if options.check:
        _print(f"no problem found in {', '.join(loaded.files)}; run.job = {loaded.get('run.job')}")
        return 0
    from emprot_core.jobs.run import run_job

    return run_job(loaded, fresh=options.fresh)


def _tell(options: argparse.Namespace) -> int:
    from emprot_core.config.describe import describe, list_components
    from emprot_core.config.imports import import_all

    faults = import_all(options.plugin, []).faults
    if options.describe is not None:
        _print(describe(options.describe))
    else:
        _print(list_components(options.list))
    for fault in faults:
        print(fault, file=sys.stderr)
    return WRONG_CONFIG if faults else 0


def _verify(directory: str) -> int:
    from emprot_core.checkpoint import verify_run

    lines = verify_run(directory)
    _print("\n".join(lines))
    return FAILED if any("damaged" in line for line in lines) else 0


def _print(text: str) -> None:
    """Flushed here, where a closed pipe is understood, not at exit."""
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
