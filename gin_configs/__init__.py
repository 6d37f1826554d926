"""The gin files that ship with EMPROT; each reads like a methods section."""
