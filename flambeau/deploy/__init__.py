"""Leaving Python: models as files that other programs run."""
