"""Benchmarks: `make bench` runs them all and writes bench/RESULTS.md. Ratios are taken within one run."""
