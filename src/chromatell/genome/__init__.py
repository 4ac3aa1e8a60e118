"""Regions, annotation and sequence: ``ctl.genome``."""

from chromatell.genome.regions import parse_regions, region_table

__all__ = ["parse_regions", "region_table"]
