"""The guide from a monolith to microworkflows: each stage as a working copy that runs, and what changes on the way to the next."""
