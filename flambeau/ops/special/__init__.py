"""Special functions: gamma and its relatives, Bessel's, the normal distribution's.

Compositions that fuse, except for the incomplete gamma and beta functions, whose number of terms
depends on the arguments: they run on the host. Imported when first asked for (ops/later.py).
"""
