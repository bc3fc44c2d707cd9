"""Tasks: what fit and predict see, which outputs they need, how they are scored."""
