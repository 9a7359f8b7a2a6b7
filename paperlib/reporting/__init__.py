"""A network of the reader's own: read, examined, measured and set on one page."""
