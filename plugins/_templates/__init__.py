"""One small component of each kind, which `emprot-run --new_plugin` copies. "Template" becomes the name of the plugin.

They are modules like any other, so that our own checks of types and contracts see them, but no plugin: the registry
leaves out modules whose names begin with _.
"""
