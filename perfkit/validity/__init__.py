"""Whether a run can be believed: thresholds and the verdict."""
