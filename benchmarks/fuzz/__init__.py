"""Altered files, one at a time, in a process of their own: ``python -m benchmarks fuzz``."""
