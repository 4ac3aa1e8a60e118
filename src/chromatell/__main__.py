"""``python -m chromatell``, where the command is not on the path."""

from __future__ import annotations

import sys

from chromatell.cli import main

sys.exit(main())
