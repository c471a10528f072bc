raise RuntimeError("The wheel turns on Sundays only.")
