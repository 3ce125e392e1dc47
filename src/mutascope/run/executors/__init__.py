"""Who runs the units of work of a screen."""
