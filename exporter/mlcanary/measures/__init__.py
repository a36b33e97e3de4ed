"""What is measured: one measure per file binds statistics to records and to rows of the catalogue."""
