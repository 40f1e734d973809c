"""Speed, measured against peers: one command each, see `make bench`."""
