"""Fourier transforms, short-time ones, windows. Imported when first asked for."""
