"""The trained network in use: frame in, relit frame out."""
