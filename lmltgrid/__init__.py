"""Distributed grid scans of light-mediator searches with neutrinos."""

from __future__ import annotations

__version__ = "0.1.0"
