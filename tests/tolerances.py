"""Every tolerance that more than one test uses, with its reason."""

FLOAT32_EXACT = 1e-6
"""Linear work in float32 on values up to 1: a few roundings of 6e-8 each."""

FLOAT32_INVERSION = 1e-5
"""Inverting an S-matrix (condition number 11) in float32: eleven times the rounding of the sums."""

FLOAT64_EXACT = 1e-9
"""Linear work in float64 on values up to 1, through a matrix of condition number up to 200."""

FLOW_PX = 0.15
"""Mean error of dense inverse search on a textured picture that slides by a few pixels, away from the border."""

WARP_CUBIC = 1e-2
"""OpenCV's bicubic interpolation (a = -0.75) of waves twelve pixels long, of contrast 1."""

WARP_LINEAR = 2e-2
"""Bilinear interpolation of the same: up to a quarter pixel squared times the curvature."""

MULTIPLEX_GAIN = 0.01
"""The noise gain of a code is known to two decimals."""
