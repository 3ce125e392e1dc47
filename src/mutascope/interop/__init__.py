"""Other projects' files and harnesses."""
