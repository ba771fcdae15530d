"""Placeholder replaced by the package tutorial."""
