"""Benchmarks of EMPROT: `python -m benchmarks --suite all --device cpu|cuda`."""
