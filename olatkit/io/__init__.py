"""Capture streams, takes, images, videos and documents: formats, no algorithms."""
