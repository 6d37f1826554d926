"""The swappable parts of EMPROT, one file each, filed by the same decorator that anyone's plugin uses."""
