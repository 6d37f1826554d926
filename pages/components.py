"""A page for each kind of component, made from the registry: it says what --describe says."""

from collections.abc import Iterator

from emprot_core import registry
from emprot_core.config.docstrings import meanings, prose
from emprot_core.config.signature import EMPTY, Parameter, annotation_text, bindable, default_text, reference_text
from emprot_core.config.types import takers
from emprot_core.config.values import assignment, is_literal
from emprot_core.kinds import KINDS
from emprot_core.registry import Entry
from pages.markdown import as_markdown, escaped

TITLES = {"core": "Trainer and run", "data": "Data sets", "attention": "Attention kernels"}
"""Titles of pages that are not the name of the folder."""


def page_of_kind(kind: str) -> str:
    """The name of the page about a kind."""
    return f"reference/{KINDS[kind].folder or kind}.md"


def kinds_with_parts() -> list[str]:
    """The kinds that have parts of ours, in the order of the table of kinds."""
    return [kind for kind in KINDS if parts(kind)]


def parts(kind: str | None = None) -> list[Entry]:
    """The components of a kind that come with EMPROT, or those of every kind."""
    return [entry for entry in registry.entries(kind) if entry.target.__module__.startswith("emprot_")]


def component_pages() -> dict[str, str]:
    """The text of the page of each kind, by its name."""
    return {page_of_kind(kind): _kind_page(kind) for kind in kinds_with_parts()}


def index_page() -> str:
    """A page that lists every component, with the first line of its docstring."""
    lines = [
        "# Every part",
        "",
        "Each part that comes with EMPROT, by its kind. The pages of this section are made from",
    ]
    lines += ["the code, and `emprot-run --describe NAME` tells the same."]
    for kind in kinds_with_parts():
        page = page_of_kind(kind).removeprefix("reference/")
        lines += ["", f"## {_title(kind)}", ""]
        lines += [f"- [`{e.short_selector}`]({page}#{anchor(e)}): {escaped(prose(e)[0])}" for e in parts(kind)]
    return "\n".join(lines) + "\n"


def anchor(entry: Entry) -> str:
    """The anchor of a component on the page of its kind."""
    return entry.name.lower()


def _title(kind: str) -> str:
    return TITLES.get(kind) or KINDS[kind].folder.capitalize()


def _kind_page(kind: str) -> str:
    lines = [f"# {_title(kind)}", ""]
    if kind == "core":
        lines.append("What a gin file binds by its name, without a folder in front.")
    else:
        lines.append(f"A gin file refers to one as `{reference_text(kind)}`.")
    if late := KINDS[kind].late:
        given = ", ".join(f"`{name}`" for name in late)
        lines.append(f"The framework calls it with {given}; a gin file binds the rest.")
    for entry in parts(kind):
        lines += ["", f"## {entry.name} {{ #{anchor(entry)} }}", "", *_component(entry)]
    return "\n".join(lines) + "\n"


def _component(entry: Entry) -> Iterator[str]:
    """What it does, how it is bound, each parameter, and where it is defined."""
    yield from as_markdown(prose(entry))
    known = list(bindable(entry).values())
    yield from ("", "```gin", *_bindings(entry, known), "```")
    about = meanings(entry)
    for parameter in known:
        yield from ("", f"`{parameter.name}`{_type(parameter)}", f":   {escaped(about[parameter.name])}")
    if not known:
        yield from ("", "It has no parameters.")
    yield from ("", f"Defined at `{entry.origin}`.")


def _bindings(entry: Entry, known: list[Parameter]) -> Iterator[str]:
    """The statement that puts it to use, and its parameters with their defaults."""
    reference = reference_text(entry.kind, entry.name)
    others = sorted((e for e in parts() if e is not entry), key=lambda e: (e.kind not in ("core", "job"), e.selector))
    if taker := next(takers(entry, others), None):
        yield f"{taker[0]} = [{reference}]" if taker[1] else f"{taker[0]} = {reference}"
    for parameter in known:
        name = f"{entry.name}.{parameter.name}"
        if parameter.required:
            yield f"{name} = ...  # required"
        elif is_literal(parameter.default):
            yield assignment(name, parameter.default)
        else:
            yield f"# {name} is {default_text(parameter.default)} by default"


def _type(parameter: Parameter) -> str:
    """The type and the default, behind the name."""
    type_ = "" if parameter.annotation is EMPTY else f": `{annotation_text(parameter.annotation)}`"
    return type_ + (", required" if parameter.required else f", by default `{default_text(parameter.default)}`")
