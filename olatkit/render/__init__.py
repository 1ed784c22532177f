"""Imageset and light to image: light weights and relighting."""
