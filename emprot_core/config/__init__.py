"""Configuration: gin files in, a checked `Config` out, which builds the objects of a run with plain Python calls.

gin supplies the language (its parser) and the registry; nothing here touches gin's global state. The road of a config:

    syntax, statements       text -> statements with their places; faults of all of them
    files                    files and includes in their order, then what the command line adds
    imports                  plugins that the files name
    names                    names -> registered components
    signature, types         what a component's parameters can take
    bindings                 which value a component gets in which scope
    check, check_values      every other fault there is
    build                    the object graph
    loading                  all of it: load(files) -> Config
    snapshot                 a config as text, as a digest, and what differs between two
    describe, export         --list, --describe, --print_config, --export
"""

from emprot_core.config.faults import ConfigError, Fault, Location
from emprot_core.config.loading import Config, load, load_text

__all__ = ["Config", "ConfigError", "Fault", "Location", "load", "load_text"]
