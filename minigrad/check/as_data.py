"""A comparison as plain data, under its older name: `report.as_data()` is the same."""

from __future__ import annotations

from .comparison import Comparison

plain = Comparison.as_data
