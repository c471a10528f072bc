raise RuntimeError("Nobody has imported this for years.")
