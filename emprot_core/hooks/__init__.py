"""Hooks: `base` holds the events, every other module one concern. The trainer knows `base` alone."""
