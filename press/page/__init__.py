"""What is read: numbers, words and pictures set on pages, from records alone."""
