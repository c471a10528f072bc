def label(sku):
    return f"shelf of {sku}"
