"""Other tools' own formulas, to hold their reports against."""
