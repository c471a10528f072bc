"""Template tags of the kit's admin pages."""
