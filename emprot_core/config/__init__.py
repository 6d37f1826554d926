"""Configuration: gin files in, a checked `Config` out, which builds the objects of a run with plain Python calls.

gin supplies the language (its parser) and the registry; nothing here touches gin's global state. The road of a config:

    cut, statements, syntax    text -> statements with their places, faults of all of them
    locate, read               files and includes in their order
    imports                    plugins that the files name
    names, resolve             names -> registered components
    signature, types           what a component's parameters can take
    bindings                   which value a component gets in which scope
    check, check_values, check_graph
                               every other fault there is
    build                      the object graph
    snapshot, describe         texts, digest, differences; --list, --describe, --print_config
    loading                    all of it: load(files) -> Config
"""

from emprot_core.config.faults import ConfigError, Fault, Location
from emprot_core.config.loading import Config, load, load_text

__all__ = ["Config", "ConfigError", "Fault", "Location", "load", "load_text"]
