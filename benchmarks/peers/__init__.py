"""The same training in other people's loops: one file each, imported only where the library is installed."""
