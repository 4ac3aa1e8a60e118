"""One engine for every score: predictors, tasks (kinds of data), views, tables. ``ctl.tl.evaluate`` calls it."""
