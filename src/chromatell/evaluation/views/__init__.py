"""Views: what is scored, each a registered function from a truth and a prediction to scores."""

from chromatell.evaluation.views import cells, pairs, tracks  # each registers its views
from chromatell.evaluation.views.registry import VIEWS, Curve, Score, Scores, View, score, view, view_names

__all__ = ["VIEWS", "Curve", "Score", "Scores", "View", "cells", "pairs", "score", "tracks", "view", "view_names"]
