"""Figures: frames and arrays in, matplotlib ``Figure`` out. Nothing here imports torch or touches pyplot."""
