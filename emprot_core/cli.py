"""emprot-run: one experiment per gin file, from the command line.

Exit status: 0 done; 2 the config or the command line is wrong, all faults listed, nothing was run; 143 preempted and
130 interrupted; 1 anything else. Nothing heavy is imported before the command line is understood.
"""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from emprot_core.options import WRONG_CONFIG, parse

if TYPE_CHECKING:
    from emprot_core.config import Config

FAILED = 1
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and give the exit status."""
    try:
        return _checked(parse(sys.argv[1:] if argv is None else list(argv)))
    except SystemExit as leave:  # argparse: --help, --version, a wrong flag
        return leave.code if isinstance(leave.code, int) else FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _checked(options: argparse.Namespace) -> int:
    """Do it, with every error of a user in one message and without a traceback."""
    if options.compare is not None or options.runs is not None:
        return _look(options)
    from emprot_core.config import ConfigError
    from emprot_core.errors import EmprotError

    try:
        return _do(options)
    except ConfigError as error:
        if _is_first_rank():
            print(error, file=sys.stderr)
        return WRONG_CONFIG
    except (EmprotError, OSError, ModuleNotFoundError) as error:  # a disk that is full; an extra that is missing
        if options.debug:
            traceback.print_exception(error)
        else:
            page = getattr(error, "page", "")  # an error of the system has none
            lines = [f"error: {error}", *getattr(error, "__notes__", ()), *([f"docs: {page}"] if page else [])]
            lines.append("--debug shows the traceback")
            print("\n  ".join(lines), file=sys.stderr)
    except Exception as error:
        from emprot_core.conformance.blame import explain

        text = None if options.debug else explain(error)
        if text is None:
            traceback.print_exception(error)
        else:
            print(f"error: {text}\n  --debug shows the whole traceback", file=sys.stderr)
    return FAILED


def _do(options: argparse.Namespace) -> int:
    if options.verify is not None:
        return _verify(options.verify)
    if options.replay is not None:
        from emprot_core.jobs.replay import replay
        from emprot_core.jobs.replay_text import format_replay

        return _print(format_replay(replay(options.replay, options.step), options.replay))
    if options.specs is not None:
        from emprot_core.jobs.specs import specs_of

        return _print(json.dumps(specs_of(options.specs), indent=1))
    if not options.gin_file or options.list is not None or options.describe is not None:
        return _tell(options)
    if options.untrusted:
        from emprot_core.config.describe import tell_what_it_would_do

        return _print(tell_what_it_would_do(options.gin_file[0]))
    from emprot_core.command_line import config_of_options

    loaded = config_of_options(options)
    if _is_first_rank():
        for warning in loaded.warnings:
            print(warning, file=sys.stderr)
    return _answer(options, loaded) if _asks(options) else _run(options, loaded)


def _asks(options: argparse.Namespace) -> bool:
    """Whether the command line asks about a config instead of running it."""
    return bool(options.export is not None or options.print_config or options.check)


def _answer(options: argparse.Namespace, loaded: "Config") -> int:
    """--export, --print_config and --check of a config."""
    if options.export is not None:
        from emprot_core.config.export import export_config

        return _print(export_config(loaded))
    if options.print_config:
        from emprot_core.config.describe import print_config

        return _print(print_config(loaded))
    return _print(f"no problem found in {', '.join(loaded.files)}; run.job = {loaded.get('run.job')}")


def _run(options: argparse.Namespace, loaded: "Config") -> int:
    """Run the job, or try a few steps of it."""
    from emprot_core.jobs.run import directory_of, run_job

    directory = directory_of(loaded, options.fresh)
    if options.dry_run:
        from emprot_core.jobs.dry_run import dry_run
        from emprot_core.jobs.dry_run_text import format_dry_run

        return _print(format_dry_run(dry_run(loaded, directory), directory))
    from emprot_core.jobs.launch import launch

    if (told := launch(loaded, directory, options.arguments)) is not None:
        return _print(told)
    return run_job(loaded, directory, options.merge)


def _tell(options: argparse.Namespace) -> int:
    """--list, --describe and --export of what is registered."""
    from emprot_core.config.describe import describe, list_components
    from emprot_core.config.export import export_component
    from emprot_core.config.faults import Faults
    from emprot_core.config.imports import import_all

    faults = Faults()
    modules = import_all(options.plugin, [], faults)
    if options.describe is not None:
        _print(describe(options.describe))
    elif options.export is not None:
        _print(export_component(options.export, modules))
    else:
        _print(list_components(options.list))
    for fault in faults:
        print(fault, file=sys.stderr)
    return WRONG_CONFIG if faults else 0


def _verify(directory: str) -> int:
    from emprot_core.jobs.verify import verify_run

    lines = verify_run(directory)
    _print("\n".join(lines))
    return FAILED if any("damaged" in line for line in lines) else 0


def _look(options: argparse.Namespace) -> int:
    """--compare and --runs, which read files alone: neither torch nor gin is imported."""
    from emprot_core.errors import EmprotError
    from emprot_core.jobs.settings import ComparisonRefused

    try:
        if options.runs is not None:
            from emprot_core.jobs.list_runs import format_runs, list_runs

            records = list_runs(options.runs)
            return _print(json.dumps(records, indent=1) if options.json else format_runs(records))
        from emprot_core.jobs.compare import compare
        from emprot_core.jobs.compare_text import format_comparison

        comparison = compare(options.compare)
        return _print(json.dumps(comparison, indent=1) if options.json else format_comparison(comparison))
    except (EmprotError, OSError) as error:
        page = f"\n  docs: {error.page}" if isinstance(error, ComparisonRefused) else ""
        print(f"error: {error}{page}", file=sys.stderr)
        return WRONG_CONFIG if page else FAILED


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
