"""The benchmark: the same work done here and by other libraries, in turns, and what it costs as it grows."""
