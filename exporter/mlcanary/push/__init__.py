"""Records that servers push over HTTP: taken in, stored in a spool, read like a log."""
