"""Linear algebra: norms, solutions, factorisations. Imported when it is first asked for.

The factorisations run on the host, through numpy's LAPACK; gradients are compositions.
"""
