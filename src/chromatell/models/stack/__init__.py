"""What stands beside a network that predicts known regions: regressions, mean x predicted depth, and their weights."""
