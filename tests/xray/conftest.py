"""The X-ray's tests. The projects that it looks at have tests of their own, which run in copies of them."""

collect_ignore = ["projects", "oscar/project"]
