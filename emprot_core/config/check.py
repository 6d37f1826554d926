"""Checks of a whole config. Nothing is built, and every fault is found in one go."""

from collections.abc import Iterator

from emprot_core.config.check_values import note_wrong_values
from emprot_core.config.faults import Location, did_you_mean, nearest
from emprot_core.config.signature import accepted, bindable, parameters, reference_text
from emprot_core.config.statements import Binding
from emprot_core.config.tree import ROOT, Component, Tree
from emprot_core.config.types import takers
from emprot_core.config.values import REQUIRED, Macro, leaves, use_of
from emprot_core.kinds import contract_kind
from emprot_core.registry import Entry

_UNREAD = {"syntax", "missing-file", "include-cycle", "import"}
_BROKEN_NAMES = _UNREAD | {"unknown-component", "ambiguous", "undefined-macro"}


def check(tree: Tree, config: Location) -> None:
    """Note every fault that the tree shows, and that was not noted while it grew.

    `config` is the location of a fault that belongs to no line, such as a missing `run.job`.
    """
    for binding in tree.statements:
        note_wrong_values(binding, tree)
    codes = {fault.code for fault in tree.faults}
    if not tree.built:
        tree.names.find(ROOT, config, "run")
        return
    _note_missing(tree, config)
    if not codes & _BROKEN_NAMES:  # a broken name may be the missing reference
        _note_unused(tree)
    _note_unused_macros(tree, all_was_read=not codes & _UNREAD)


def _note_missing(tree: Tree, config: Location) -> None:
    """Note required parameters of the components that would be built, if they have no value."""
    reported = set()
    for component in tree.built:
        for binding in component.bound.values():
            if any(isinstance(leaf, Macro) and leaf.name == REQUIRED for leaf in leaves(binding.meaning)):
                message = f"{binding} must be overridden: it is %{REQUIRED}"
                tree.faults.note("missing", message, binding.location)
        entry, missing = component.entry, tuple(_missing(component))
        if missing and (entry, missing) not in reported:
            reported.add((entry, missing))
            help = (_example(component, missing[0], tree), f"accepted: {accepted(entry)}", f"defined at {entry.origin}")
            message = f"{entry.short_selector} needs a value for {', '.join(missing)}"
            tree.faults.note("missing", message, component.location or config, *help)


def _missing(component: Component) -> list[str]:
    """Names of the required parameters without a value. One that a misspelt binding was meant for does not count."""
    known = bindable(component.entry)
    meant = [close for parameter in component.bound if parameter not in known for close in nearest(parameter, known)]
    return [name for name, p in known.items() if p.required and name not in component.bound and name not in meant]


def _example(component: Component, parameter: str, tree: Tree) -> str:
    """A statement that would give the parameter a value."""
    wanted = parameters(component.entry)[parameter].annotation
    kind, only = contract_kind(wanted), tree.names.filed_as(wanted)
    value = "..."
    if kind:
        value = reference_text(kind)
    elif only:
        value = str(use_of(only))
    return f"bind it: {component}.{parameter} = {value}"


def _note_unused(tree: Tree) -> None:
    """Note bindings of components that no statement refers to in that scope. Overridden statements count too."""
    used = {statement.holder for component in tree.mentioned for statement in component.statements}
    for binding in tree.statements:
        if not binding.is_macro and binding.holder not in used:
            used.add(binding.holder)  # once, not for each of its parameters
            _note_unused_component(binding, tree)


def _note_unused_component(binding: Binding, tree: Tree) -> None:
    entry = tree.names.entries[binding.selector]
    name = entry.short_selector
    built = [component for component in tree.mentioned if component.entry is entry]
    scopes = sorted({"/".join(component.scope) for component in built})
    if not built:
        message = f"no statement refers to {name}, so this is never used"
        tree.faults.note("unused", message, binding.location, f"refer to it: {_use(entry, tree)}")
        return
    message = f"nothing builds {name} in the scope {binding.scope!r}"
    close = did_you_mean([f"{scope}/{name}" for scope in nearest(binding.scope, filter(None, scopes))])
    places = ", ".join(f"{scope}/{name}" if scope else name for scope in scopes)
    tree.faults.note("unused", message, binding.location, *close, f"built: {places}")


def _use(entry: Entry, tree: Tree) -> str:
    """A statement that binds the component to some parameter of the config that takes it."""
    text = use_of(entry)
    for name, in_list in takers(entry, [component.entry for component in tree.mentioned]):
        return f"{name} = [{text}]" if in_list else f"{name} = {text}"
    return f"Name.parameter = {text}"


def _note_unused_macros(tree: Tree, all_was_read: bool) -> None:
    """Note macros that no statement uses. Most of them miss a component in front of the name, or are misspelt.

    If a file could not be read, that file may use the macro. Then only a name that is also that of a parameter is a
    fault.
    """
    for name, binding in tree.macros.items():
        if name in tree.used_macros or tree.names.note_if_component(name, binding.location):
            continue
        if all_was_read or tree.names.with_parameter(name):
            message = f"{name} = ... defines a macro that nothing uses"
            tree.faults.note("bare-name", message, binding.location, *_bare_advice(name, tree))


def _bare_advice(name: str, tree: Tree) -> Iterator[str]:
    built = dict.fromkeys(component.entry for component in tree.mentioned)
    known = [f"{entry.short_selector}.{parameter}" for entry in built for parameter in bindable(entry)]
    exact = [key for key in known if key.rpartition(".")[2] == name] or tree.names.with_parameter(name)
    yield from did_you_mean(exact[:3] or nearest(name, tree.used_macros) or nearest(name, known))
    yield f"a parameter has its component in front: Name.{name} = ...; a macro is used as %{name}"
