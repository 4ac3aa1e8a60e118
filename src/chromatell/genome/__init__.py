"""Regions, annotation and sequence: ``ctl.genome``."""

from chromatell.genome.genome import Genome
from chromatell.genome.regions import has_coordinates, parse_regions, region_table
from chromatell.genome.sequence import decode, encode, one_hot, reverse_complement

__all__ = [
    "Genome",
    "decode",
    "encode",
    "has_coordinates",
    "one_hot",
    "parse_regions",
    "region_table",
    "reverse_complement",
]
