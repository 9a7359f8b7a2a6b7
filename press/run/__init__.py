"""What is done: trainings, measurements and executed notebooks, each once, each surviving any kill."""
