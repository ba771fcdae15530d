"""The `elicence` command."""
