"""``experiments.yml`` goes in, a book comes out. Whatever lies here cannot change a measured number."""
