"""The swappable parts of EMPROT, one file each, registered with the same decorator as any other plugin."""
