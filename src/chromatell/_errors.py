"""What the package raises and warns with."""

from __future__ import annotations


class ChromatellError(ValueError):
    """What was given cannot be used; the message says what to do."""

    __module__ = "chromatell._validate"  # what tracebacks, and filters of warnings, name


class ChromatellWarning(UserWarning):
    """What was given can be used, but the user should know something about it."""

    __module__ = "chromatell._validate"
