"""Language models: loading, finding their matrices, writing tiles."""
