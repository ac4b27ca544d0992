"""The stages of a run, a file each: audit, folds, train, predict, tune, submit, report, and side stages."""
