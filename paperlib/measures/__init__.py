"""What each kind of figure measures: networks and images go in, values and arrays come out."""
