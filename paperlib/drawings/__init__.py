"""What each kind of figure draws: a record goes in, a picture or a table comes out."""
