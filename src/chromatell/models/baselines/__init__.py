"""What every model must beat: one protocol (fit, tune, predict), one register, one tuner, one search for neighbours."""
