"""A checked configuration. It builds objects, and it gives itself as text, as a digest, and as names and values."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from emprot_core.config.build import Builder
from emprot_core.config.faults import Fault
from emprot_core.config.files import SHIPPED
from emprot_core.config.signature import bindable, default_text
from emprot_core.config.statements import Binding
from emprot_core.config.tree import Component, Tree
from emprot_core.config.values import Constant, Use, as_text, assignment, is_literal, replace
from emprot_core.errors import EmprotError
from emprot_core.words import DEFAULT

NOT_RESULT = ("run.directory", "run.device", "run.allow_config_change", "run.launcher")
"""Parameters that do not change what a run computes. They count neither in the digest nor in a difference."""


class Config:
    """A checked configuration. Several may live at once: none of them changes anything global."""

    def __init__(self, files: Sequence[str], tree: Tree, modules: Sequence[str], warnings: Sequence[Fault] = ()):
        self.files = tuple(files)
        self.tree = tree
        self.modules = tuple(modules)
        self.warnings = tuple(warnings)
        self._builder = Builder(tree)

    def parameters(self, selector: str, lazy: Collection[str] = ()) -> dict[str, Any]:
        """The values of the bound parameters of a component. References are built.

        Args:
            selector: the component, for example "run".
            lazy: parameters that come as a callable without arguments, which builds the value when called.

        Raises:
            ValueError: there is no such component, or what is being built raises it.
        """
        return self._builder.arguments(self._component(selector), lazy)

    def build(self, key: str, **given: Any) -> Any:
        """The built value of one bound parameter, for example "Trainer.model".

        Args:
            given: arguments of the component that the parameter refers to, in the place of what the config binds.

        Raises:
            ValueError: it is not bound, the component has no such argument, or what is being built raises it.
        """
        holder, _, parameter = key.rpartition(".")
        component = self._component(holder)
        if parameter not in component.bound:
            raise EmprotError(f"{key} is not bound in {', '.join(self.files)}; bind it: {key} = ...")
        return self._builder.value(component, parameter, given)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a bound parameter, or else the default. Macros are replaced; references are not built."""
        holder, _, parameter = key.rpartition(".")
        binding = self._component(holder).bound.get(parameter)
        if binding is None:
            return default
        return replace(binding.meaning, lambda leaf: leaf.value if isinstance(leaf, Constant) else leaf)

    def target(self, key: str) -> Any:
        """The class or function that a bound parameter refers to; None if it is no reference."""
        value = self.get(key)
        return value.entry.target if isinstance(value, Use) else None

    def macros(self) -> dict[str, Any]:
        """The value of every macro. Macros in it are replaced; references are not built."""
        return {name: binding.meaning for name, binding in self.tree.macros.items()}

    def text(self) -> str:
        """The config as one gin text without includes that gives the same config; run.directory is left out.

        Names are full selectors, so that a plugin that is added later makes none of them ambiguous.
        """
        ordered = (binding for bindings in self.tree.by_component().values() for binding in bindings)
        kept = [binding for binding in ordered if str(binding) != "run.directory"]
        lines = [f"import {module}" for module in self.modules]
        lines += ["", *(assignment(str(macro), macro.value, full=True) for macro in self.tree.needed_macros(kept))]
        holder = None
        for binding in kept:
            if binding.holder != holder:
                holder = binding.holder
                lines.append("")
            lines.append(assignment(_full_name(*binding.key), binding.value, full=True))
        return "\n".join(lines).strip("\n") + "\n"

    def operative_text(self) -> str:
        """Every parameter of every component that was built so far, with its value. Defaults are included."""
        return "\n".join("\n".join(_operative_block(component)) for component in self._builder.built)

    def digest(self) -> str:
        """SHA-256 of the components that would be built, with their values.

        Macros, names of scopes and the order of statements do not change it. The parameters in `NOT_RESULT` do not
        count.
        """
        root = next(iter(self.tree.built))
        return hashlib.sha256(_canonical(root, NOT_RESULT).encode()).hexdigest()

    def flat(self) -> dict[str, str]:
        """The bindings of everything that would be built: `component.parameter` -> value as text, macros replaced."""
        return {str(binding): as_text(binding.meaning) for binding in self.tree.reachable}

    def own(self) -> dict[str, str]:
        """What tells this config from the shipped ones: the gin file, and what was bound outside the shipped files.

        Macros count where they are defined: NUM_CLUSTERS=20 tells of all that takes its value.
        """
        own = {"gin_file": self.files[0] if self.files else ""}
        for binding in self.tree.reachable:
            if not self.tree.source(binding).location.file.startswith(f"{SHIPPED}:"):
                own[str(binding)] = as_text(binding.meaning)
        return {name: value for name, value in own.items() if name not in NOT_RESULT}

    def settings(self) -> dict[str, dict[str, str]]:
        """Every macro in use and every parameter of what would be built, defaults included.

        Returns:
            By name {"value": with macros replaced, "given": as written, "origin": the place, or "default"}. Parameters
            in `NOT_RESULT` are left out.
        """
        macros = self.tree.needed_macros(self.tree.reachable)
        found = {str(macro): _setting(macro) for macro in macros}
        for component in self.tree.built:
            for name, parameter in bindable(component.entry).items():
                key, binding = f"{component}.{name}", component.bound.get(name)
                if binding is not None:
                    found[key] = _setting(binding)
                elif not parameter.required:
                    default = default_text(parameter.default)
                    found[key] = {"value": default, "given": default, "origin": DEFAULT}
        return {key: setting for key, setting in found.items() if key not in NOT_RESULT}

    def difference(self, other: "Config") -> list[str]:
        """What changes from this config to the other, one line each: "Trainer.max_epochs: 6 -> 10"."""
        before, after = self.flat(), other.flat()
        lines = []
        for key in sorted((before.keys() | after.keys()) - set(NOT_RESULT)):
            was, becomes = before.get(key, "not bound"), after.get(key, "not bound")
            if was != becomes:
                lines.append(f"{key}: {was} -> {becomes}")
        return lines

    def _component(self, name: str) -> Component:
        """The component of a name such as x/Trainer, in the scope that it gives."""
        *scopes, selector = name.split("/")
        entry = self.tree.names.one(selector)
        if entry is None:
            raise EmprotError(f"{selector!r} names no component; registered: {', '.join(self.tree.names.entries)}")
        return self.tree.component(entry, tuple(scopes))


def _setting(binding: Binding) -> dict[str, str]:
    given = as_text(binding.value)
    return {"value": as_text(binding.meaning), "given": given, "origin": str(binding.location)}


def _full_name(scope: str, selector: str, parameter: str) -> str:
    return f"{scope}/{selector}.{parameter}" if scope else f"{selector}.{parameter}"


def _operative_block(component: Component) -> Iterator[str]:
    """A line for each parameter. A default that gin cannot write stands in a comment."""
    for name, parameter in bindable(component.entry).items():
        binding = component.bound.get(name)
        value = binding.meaning if binding else parameter.default
        line = assignment(_full_name("/".join(component.scope), component.entry.selector, name), value, full=True)
        yield line if binding or is_literal(value) else f"# {line}"
    yield ""


def _canonical(component: Component, without: Collection[str] = ()) -> str:
    """The component and all below it as one text. Digests on disk depend on it: it must not change."""
    name = component.entry.short_selector
    arguments = [
        f"{parameter}={_canonical_value(binding.meaning, component)}"
        for parameter, binding in sorted(component.bound.items())
        if f"{name}.{parameter}" not in without
    ]
    return f"{component.entry.selector}({', '.join(arguments)})"


def _canonical_value(value: Any, holder: Component) -> str:
    if isinstance(value, Use):
        return f"@{'()' * value.call}" + _canonical(holder.child(value))
    if isinstance(value, dict):
        items = (_canonical_value(item, holder) for pair in value.items() for item in pair)
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return type(value).__name__ + "(" + ", ".join(_canonical_value(item, holder) for item in value) + ")"
    return as_text(value)
