"""The benchmarks work: short forms of them run here, and none of their figures is judged."""
