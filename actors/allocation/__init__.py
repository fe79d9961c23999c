"""Who teaches: a pure rule between two calls of one transaction."""
