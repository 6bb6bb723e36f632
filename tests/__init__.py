"""The tests, and the stand-ins they, the demo and the benchmarks run against."""
