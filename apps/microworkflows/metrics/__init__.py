"""Metrics for Prometheus, and the health of web, worker and relay: a guest of the core, read from its tables when asked.

Nothing is counted while events flow, so any number of processes costs nothing and one scrape of one of them tells all.
"""
