"""Losses and blocks that families share."""
