"""All checks of a config that was read: nothing is built, every fault is found in one go."""

from dataclasses import replace
from typing import NamedTuple

from emprot_core import registry
from emprot_core.config.bindings import ROOT, Bindings
from emprot_core.config.check_graph import check_cycles, check_macros, check_missing, check_unused
from emprot_core.config.check_values import check_values
from emprot_core.config.faults import Fault, Location
from emprot_core.config.names import Names
from emprot_core.config.read import Source
from emprot_core.config.resolve import resolve

_UNREAD = {"syntax", "missing-file", "include-cycle", "import"}
_BROKEN_NAMES = _UNREAD | {"unknown-component", "ambiguous", "undefined-macro"}


class Checked(NamedTuple):
    """The bindings with every name resolved, and what is wrong with them."""

    bindings: Bindings
    faults: list[Fault]


def check(source: Source, config: Location) -> Checked:
    """Resolve and check what was read and imported. `config` is where a fault of the whole config is located."""
    names = Names(registry.entries())
    statements, faults = resolve(source.bindings, names)
    bindings = Bindings(statements, names.entries)
    faults = [*source.faults, *faults, *check_values(bindings)]
    codes = {fault.code for fault in faults}
    if not source.bindings and faults:
        return Checked(bindings, faults)  # nothing could be read, so everything would be missing
    if ROOT not in names.entries:
        return Checked(bindings, [*faults, names.fault("run", config, "run")])
    faults += [*check_missing(bindings, config), *check_cycles(bindings)]
    if not codes & _BROKEN_NAMES:  # else what is broken may be what refers to it
        faults += check_unused(bindings)
    faults += check_macros(bindings, names, whole=not codes & _UNREAD)
    if "missing-file" in codes:
        faults = [_perhaps_not_found(fault) for fault in faults]
    return Checked(bindings, sorted(faults, key=lambda fault: source.position(fault.location)))


def _perhaps_not_found(fault: Fault) -> Fault:
    if fault.code not in ("missing", "undefined-macro"):
        return fault
    return replace(fault, help=(*fault.help, "or a file that was not found was to give it"))
