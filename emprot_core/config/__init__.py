"""Configuration: gin files in, a checked `Config` out, which builds the objects of a run with plain Python calls.

gin supplies the language (its parser). Its global state is never written. A config passes these files in their order:

    loading          load(files) -> Config: calls the steps below, and raises all faults at once
    files            gin files with their includes, then what the command line adds
    statements       gin text -> statements with their places; `syntax` cuts the text and explains its faults
    imports          the plugins that the files name
    resolve          names -> components, macros -> values; `names` looks a name up and knows similar ones
    tree             every component in its scope, with its values; `build`, the digest and all texts are walks of it
    check            the faults that the tree shows; `check_values` compares values with annotations
    configuration    Config: build, text, digest, difference
    build            the objects

What they work with: `faults` (Location, Fault, Faults), `values` (references, macros), `signature` (the parameters of a
component), `types` (does a value fit an annotation). For the command line: `describe` and `export`.
"""

from emprot_core.config.configuration import Config
from emprot_core.config.faults import ConfigError, Fault, Location
from emprot_core.config.loading import load, load_text

__all__ = ["Config", "ConfigError", "Fault", "Location", "load", "load_text"]
