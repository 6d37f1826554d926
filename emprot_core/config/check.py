"""All checks of a config that was read: nothing is built, every fault is found in one go."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from emprot_core import registry
from emprot_core.config.bindings import ROOT, Bindings, Node, Visit, covers, is_required
from emprot_core.config.check_values import check_values
from emprot_core.config.faults import Fault, Location, did_you_mean, nearest
from emprot_core.config.files import Source
from emprot_core.config.imports import Imported
from emprot_core.config.names import Names, resolve
from emprot_core.config.signature import accepted, bindable, parameters, reference_text
from emprot_core.config.statements import Binding
from emprot_core.config.types import takers
from emprot_core.config.values import Reference
from emprot_core.kinds import contract_kind
from emprot_core.registry import Entry

_UNREAD = {"syntax", "missing-file", "include-cycle", "import"}
_BROKEN_NAMES = _UNREAD | {"unknown-component", "ambiguous", "undefined-macro"}


class Checked(NamedTuple):
    """The bindings with every name resolved, and what is wrong with them."""

    bindings: Bindings
    faults: list[Fault]


def check(source: Source, imported: Imported, config: Location) -> Checked:
    """Resolve and check what was read and imported. `config` is where a fault of the whole config is located."""
    names = Names(registry.entries(), told=imported.failed)
    statements, unresolved = resolve(source.bindings, names)
    bindings = Bindings(statements, names.entries)
    faults = [*source.faults, *imported.faults, *unresolved, *check_values(bindings)]
    if source.bindings or not faults:  # else nothing could be read, and everything would be missing
        try:
            faults += _check_whole(bindings, names, {fault.code for fault in faults}, config)
        except RecursionError:
            faults.append(Fault("too-large", "components are nested too deeply within each other", config))
    if any(fault.code == "missing-file" for fault in faults):
        faults = [_perhaps_not_found(fault) for fault in faults]
    once = dict.fromkeys(faults)  # a file may be included twice
    return Checked(bindings, sorted(once, key=lambda fault: source.position(fault.location)))


def _check_whole(bindings: Bindings, names: Names, codes: set[str], config: Location) -> Iterator[Fault]:
    """What can be seen only from the whole config; `codes` of the faults so far say what may be missing from it."""
    if ROOT not in names.entries:
        yield names.fault("run", config, "run")
        return
    yield from _check_missing(bindings, config)
    yield from _check_cycles(bindings)
    if not codes & _BROKEN_NAMES:  # else what is broken may be what refers to it
        yield from _check_unused(bindings)
    yield from _check_macros(bindings, names, whole=not codes & _UNREAD)


def _perhaps_not_found(fault: Fault) -> Fault:
    if fault.code not in ("missing", "undefined-macro"):
        return fault
    return replace(fault, help=(*fault.help, "or a file that was not found was to give it"))


def _check_missing(bindings: Bindings, config: Location) -> Iterator[Fault]:
    """Required parameters without a value, of all that would be built. `config`: where `run` would be bound."""
    reported: set[tuple[str, ...]] = set()
    for node, visit in bindings.built.items():
        bound = bindings.of(node)
        for binding in bound.values():
            if is_required(binding.value) and binding.key not in reported:
                reported.add(binding.key)
                yield Fault("missing", f"{binding} must be overridden: it is %gin.REQUIRED", binding.location)
        missing = _missing(node, bindings)
        if missing and (node.selector, *missing) not in reported:
            reported.add((node.selector, *missing))
            entry = bindings.entries[node.selector]
            message = f"{entry.short_selector} needs a value for {', '.join(missing)}"
            help = (_example(node, missing[0], bindings), f"accepted: {accepted(entry)}", f"defined at {entry.origin}")
            yield Fault("missing", message, visit.location or config, help)


def _check_cycles(bindings: Bindings) -> Iterator[Fault]:
    """Components that can only be built after themselves."""
    open_nodes: list[Node] = []
    done: set[Node] = set()
    faults: list[Fault] = []

    def enter(visit: Visit) -> None:
        if visit.node in open_nodes:
            chain = [*open_nodes[open_nodes.index(visit.node) :], visit.node]
            text = " -> ".join(node.selector.removeprefix("emprot.") for node in chain)
            assert visit.location is not None
            faults.append(Fault("reference-cycle", f"building this never ends: {text}", visit.location))
        if visit.node in done or visit.node in open_nodes:
            return
        open_nodes.append(visit.node)
        for binding in bindings.of(visit.node).values():
            for reached in bindings.references(binding, visit.node.scope):
                enter(reached)
        done.add(open_nodes.pop())

    enter(Visit(Node(ROOT, ()), None))
    return iter(faults)


def _check_unused(bindings: Bindings) -> Iterator[Fault]:
    """Components that are bound and that no statement, not even an overridden one, refers to in that scope."""
    used = set(bindings.mentioned)
    loose = [b for b in bindings.statements if not b.is_macro and not any(covers(node, b) for node in used)]
    # What only unused components refer to is not reported beside them.
    used |= bindings.mentioned_from([Node(b.selector, tuple(filter(None, b.scope.split("/")))) for b in loose])
    reported = set()
    for binding in loose:
        group = (binding.scope, binding.selector)
        if group in reported or any(covers(node, binding) for node in used):
            continue
        reported.add(group)
        yield _unused(binding, bindings)


def _check_macros(bindings: Bindings, names: Names, whole: bool) -> Iterator[Fault]:
    """Macros that no statement uses: a name without a component in front, or a typo.

    `whole` says that all that was named could be read; else what is missing may use the macro.
    """
    for binding in bindings.effective.values():
        name = binding.parameter
        if not binding.is_macro or name in bindings.mentioned_macros:
            continue
        if len(names.matches(name)) == 1:
            message = f"{name} is a component; a value is bound to one of its parameters"
            yield Fault("bare-name", message, binding.location, (f"{name}.parameter = ...",))
        elif whole or names.with_parameter(name):
            message = f"{name} = ... defines a macro that nothing uses"
            yield Fault("bare-name", message, binding.location, tuple(_bare_advice(name, bindings, names)))


def _missing(node: Node, bindings: Bindings) -> list[str]:
    """Required parameters without a value; one that a misspelt binding was meant for is not counted."""
    bound = bindings.of(node)
    known = bindable(bindings.entries[node.selector])
    meant = {name for parameter in bound if parameter not in known for name in nearest(parameter, known)}
    return [name for name, p in known.items() if p.required and name not in bound and name not in meant]


def _bare_advice(name: str, bindings: Bindings, names: Names) -> Iterator[str]:
    built = [bindings.entries[node.selector] for node in bindings.mentioned]
    known = [f"{entry.short_selector}.{parameter}" for entry in dict.fromkeys(built) for parameter in bindable(entry)]
    exact = [key for key in known if key.rpartition(".")[2] == name] or names.with_parameter(name)
    close = exact[:3] or nearest(name, bindings.mentioned_macros) or nearest(name, known)
    yield from did_you_mean(close)
    yield f"a parameter has its component in front: Name.{name} = ...; a macro is used as %{name}"


def _unused(binding: Binding, bindings: Bindings) -> Fault:
    entry = bindings.entries[binding.selector]
    scopes = sorted({"/".join(node.scope) for node in bindings.mentioned if node.selector == binding.selector})
    if scopes:
        message = f"nothing builds {entry.short_selector} in the scope {binding.scope!r}"
        places = [f"{scope}/{entry.short_selector}" if scope else entry.short_selector for scope in scopes]
        close = nearest(binding.scope, [scope for scope in scopes if scope])
        help = (*did_you_mean([f"{scope}/{entry.short_selector}" for scope in close]), f"built: {', '.join(places)}")
    else:
        message = f"no statement refers to {entry.short_selector}, so this is never used"
        help = (f"refer to it: {_use(entry, bindings)}",)
    return Fault("unused", message, binding.location, help)


def _use(entry: Entry, bindings: Bindings) -> str:
    """A statement that binds the component to some parameter of the config that takes it."""
    text = reference_text(entry.kind, entry.name)
    reference = Reference((), entry.selector, text.endswith("()"), Location(""))
    holders = [bindings.entries[node.selector] for node in bindings.mentioned]
    for name, in_list in takers(reference, holders, bindings.entries):
        return f"{name} = [{text}]" if in_list else f"{name} = {text}"
    return f"Name.parameter = {text}"


def _example(node: Node, parameter: str, bindings: Bindings) -> str:
    entry = bindings.entries[node.selector]
    wanted = parameters(entry)[parameter].annotation
    kind = contract_kind(wanted)
    named = [reference_text(other.kind, other.name) for other in bindings.entries.values() if other.target is wanted]
    value = reference_text(kind) if kind else (*named, "...")[0]
    return f"bind it: {'/'.join((*node.scope, entry.short_selector))}.{parameter} = {value}"
