"""Running screens and predictions."""
