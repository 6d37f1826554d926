"""Benchmarks of EMPROT: `python -m benchmarks --suite step --device cpu|cuda`."""
