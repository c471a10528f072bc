"""Processes that a program starts beside itself, for the demo, the guide, the benchmarks and the tests: started, watched, ended."""
