"""What a family says of itself, once: the base and the verbs ask this record, not which family it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Declared:
    """What a family reads and writes beside expression in, and regions out.

    Attributes
    ----------
    tracks
        BinnedTracks go in and out, not cells.
    region_atac
        It knows a region by its ATAC, and so none that was held out. It is stored with the model: what is not declared
        counts as read.
    sequence
        It predicts regions that it never saw from a FASTA.
    cell_columns
        It says something of cells beside their regions, an embedding or labels: it has the methods `embed_and_label`,
        which `tl.evaluate` asks, and `cell_columns`, which `tl.predict` does.
    bf16_on_cpu
        bfloat16 trains it faster on a CPU that has the instructions, and as well.
    two_losses
        The loss that it is trained by and the one that validates it are of different kinds.
    """

    tracks: bool = False
    region_atac: bool = True
    sequence: bool = False
    cell_columns: bool = False
    bf16_on_cpu: bool = True
    two_losses: bool = False
