"""Executors: the workers that share the tasks of a Prepare."""

from .dask import dask

__all__ = ["dask"]
