"""What is asked for: ``experiments.yml``, read strictly before anything runs."""
