"""Benchmarks: ratios of medians in one run, beside a peer. Run as `python -m benchmarks.NAME`; never by the tests."""
