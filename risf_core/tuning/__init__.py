"""Fitting a fusion to labelled images, so that re-scoring is never worse than the detector alone."""
