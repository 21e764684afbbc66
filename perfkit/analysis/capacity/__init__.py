"""The search for the highest load that meets objectives."""
