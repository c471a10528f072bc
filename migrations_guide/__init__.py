"""The guide from a monolith to microworkflows: pages to read, stages that run, and the engine that runs them."""
