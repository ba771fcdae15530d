"""Benchmarks: figures as ratios taken in one run, never asserted (docs/performance.md)."""
