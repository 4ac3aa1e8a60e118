"""Data as the models read it."""
