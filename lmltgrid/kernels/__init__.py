"""Compiled kernels: plain arrays and floats in, plain arrays out."""
