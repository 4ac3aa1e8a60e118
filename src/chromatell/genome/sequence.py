"""DNA as int8 tokens: A, C, G, T, N = 0, 1, 2, 3, 4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chromatell._docs import documented
from chromatell._validate import ChromatellError

ALPHABET = "ACGTN"
UNKNOWN = 4  # N: not known, or off the end of a chromosome
INVALID = 255  # in ENCODE: a byte that no sequence holds
_GAPS = b"-*."  # gaps of an alignment


def _encode_table() -> bytes:
    table = np.full(256, INVALID, dtype=np.uint8)
    for letter in (*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1), *_GAPS):
        table[letter] = UNKNOWN
    for token, letter in enumerate("ACGT"):
        table[ord(letter)] = table[ord(letter.lower())] = token
    return table.tobytes()


ENCODE = _encode_table()  # byte -> token, for bytes.translate
_DECODE = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.int8)
_ONE_HOT = np.vstack([np.eye(4, dtype=np.float32), np.zeros((1, 4), dtype=np.float32)])


def encode(sequence: str | Sequence[str]) -> np.ndarray:
    """Tokens of one sequence, or of several of one length.

    Parameters
    ----------
    sequence
        Text, or texts of equal length. Lower case is as upper; any other letter than A, C, G and T, and the gaps ``-``,
        ``.`` and ``*``, become N.

    Returns
    -------
    numpy.ndarray, int8, (length,) or (n, length)
        A, C, G, T, N = 0, 1, 2, 3, 4.

    Raises
    ------
    ChromatellError
        Other characters than letters, or texts of different lengths.

    Examples
    --------
    >>> from chromatell.genome.sequence import encode
    >>> encode("ACGTn").tolist()
    [0, 1, 2, 3, 4]
    """
    texts = [sequence] if isinstance(sequence, str) else list(sequence)
    lengths = {len(text) for text in texts}
    if len(lengths) > 1:
        raise ChromatellError(
            f"The sequences have lengths from {min(lengths)} to {max(lengths)}; one length is needed. "
            "Cut them, or fill them up with N."
        )
    raw = "".join(texts).encode("latin-1", errors="replace").translate(ENCODE)
    tokens = np.frombuffer(raw, dtype=np.uint8)
    if (tokens == INVALID).any():
        letter = "".join(texts)[int(np.argmax(tokens == INVALID))]
        raise ChromatellError(f"A sequence holds {letter!r}; letters are needed (A, C, G, T; any other is read as N).")
    tokens = tokens.astype(np.int8)
    return tokens if isinstance(sequence, str) else tokens.reshape(len(texts), max(lengths, default=0))


@documented("tokens")
def decode(tokens: np.ndarray) -> str | list[str]:
    """Text of tokens.

    Returns
    -------
    str, or list of str
        In upper case, one for each row.

    Raises
    ------
    ChromatellError
        Values other than 0 to 4.

    Examples
    --------
    >>> from chromatell.genome.sequence import decode
    >>> decode([3, 3, 0, 4])
    'TTAN'
    """
    tokens = check_tokens(tokens)
    letters = _DECODE[tokens]
    if tokens.ndim == 1:
        return letters.tobytes().decode()
    return [row.tobytes().decode() for row in letters]


@documented("tokens")
def reverse_complement(tokens: np.ndarray) -> np.ndarray:
    """Tokens of the other strand, read in its own direction.

    Returns
    -------
    numpy.ndarray, int8, same shape
        N stays N.

    Raises
    ------
    ChromatellError
        Values other than 0 to 4.

    Examples
    --------
    >>> from chromatell.genome.sequence import decode, encode, reverse_complement
    >>> decode(reverse_complement(encode("AACGN")))
    'NCGTT'
    """
    return np.ascontiguousarray(_COMPLEMENT[check_tokens(tokens)][..., ::-1])


@documented("tokens")
def one_hot(tokens: np.ndarray) -> np.ndarray:
    """One-hot sequences, channels first, as PyTorch's convolutions and tangermeme read them.

    Returns
    -------
    numpy.ndarray, float32, (4, length) or (n, 4, length)
        Channels A, C, G, T; all four are 0 at an N.

    Raises
    ------
    ChromatellError
        Values other than 0 to 4.

    Notes
    -----
    Sixteen times the tokens' memory: models make it on their device, a batch at a time.

    Examples
    --------
    >>> from chromatell.genome.sequence import encode, one_hot
    >>> one_hot(encode("CAN")).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return np.ascontiguousarray(np.swapaxes(_ONE_HOT[check_tokens(tokens)], -1, -2))


def count_unknown(tokens: np.ndarray) -> np.ndarray:
    """Return the number of N in each row, uint32 (n,); it takes one byte a token meanwhile."""
    return (tokens == UNKNOWN).view(np.uint8).sum(axis=1, dtype=np.uint32)  # three times as fast as count_nonzero


def check_tokens(tokens: np.ndarray, where: str = "tokens") -> np.ndarray:
    """Return tokens as an array; raise where they are not integers from 0 to 4 in one or two dimensions.

    Parameters
    ----------
    tokens
        What should be (length,) or (n, length).
    where
        What they are called in the message.

    Raises
    ------
    ChromatellError
        Another type, shape or value.
    """
    array = np.asarray(tokens)
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        raise ChromatellError(
            f"{where} is {array.dtype} of shape {array.shape}; int8 tokens of shape (length,) or (regions, length) are "
            "needed (A, C, G, T, N = 0, 1, 2, 3, 4). Make them from text with ctl.genome.encode(sequences), "
            "or from one-hot with argmax over its channels."
        )
    if array.size and (array.min() < 0 or array.max() > UNKNOWN):
        low, high = int(array.min()), int(array.max())
        raise ChromatellError(
            f"{where} holds values from {low} to {high}; tokens are 0 to 4 (A, C, G, T, N). "
            "Make them from text with ctl.genome.encode(sequences)."
        )
    return array
