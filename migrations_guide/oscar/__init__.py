"""The case study: django-oscar's order placement taken apart, stage by stage."""
