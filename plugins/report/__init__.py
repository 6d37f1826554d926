"""Report: the job that writes one HTML page about finished and unfinished runs."""

from .report import Report

__all__ = ["Report"]
