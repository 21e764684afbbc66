"""Other tools' formulas, as data and pure functions, each checked against files that the tool itself wrote."""
