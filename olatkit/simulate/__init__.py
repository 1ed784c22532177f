"""A light stage made of numbers: streams with ground truth."""
