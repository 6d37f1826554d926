"""What a stranger's gin file would do, told without doing it: --check --untrusted."""

from emprot_core import registry
from emprot_core.config.faults import ConfigError
from emprot_core.config.files import read_shipped_only
from emprot_core.config.names import Names
from emprot_core.config.values import Reference, leaves


def tell_what_it_would_do(file: str) -> str:
    """The files that a gin file includes, the modules that it imports and the components that it calls, with places.

    Nothing is imported, built or written, and of what it includes only shipped files are read.

    Raises:
        ConfigError: the file is missing, or cannot be read as gin.
    """
    source = read_shipped_only(file)
    if source.faults:
        raise ConfigError(source.faults)
    names = Names(registry.entries(), source.faults)
    called: dict[str, str] = {}
    for binding in source.bindings:
        for leaf in leaves(binding.value):
            if isinstance(leaf, Reference):
                entry = names.one(leaf.name)
                known = entry.origin if entry else "NOT REGISTERED HERE: an import would have to bring it"
                called.setdefault(str(leaf), f"{known}  ({leaf.location})")
    called = dict(sorted(called.items(), key=lambda item: not item[1].startswith("NOT")))  # what is strange comes first
    sections = {
        "it would import, and so run, these modules": [f"{i.module}  ({i.location})" for i in source.imports],
        "it would include these files, which were not read": [f"{i.filename}  ({i.location})" for i in source.left_out],
        "it refers to these components": [f"{name}  {where}" for name, where in called.items()],
    }
    lines = [f"{', '.join(source.files)}: read only; nothing was imported, built or written"]
    for title, items in sections.items():
        lines += [f"{title}:" if items else f"{title}: none", *(f"  {item}" for item in items)]
    return "\n".join(lines)
