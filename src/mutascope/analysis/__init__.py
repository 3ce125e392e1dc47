"""Analyses: pure functions from records to frames and arrays. Nothing here imports torch."""
