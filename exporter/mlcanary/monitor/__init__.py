"""Records in, samples out: the whole exporter without files, clocks and sockets."""
