"""Moving a context's tables to a database of its own, while the other contexts go on working."""
