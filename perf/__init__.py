"""Benchmarks: each measures ours and its floor beside it, interleaved in one run (docs/why, "How we measure").

`python -m perf.lab` is the first one. Results are JSON files in `perf/results/`.
"""
