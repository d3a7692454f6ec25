# Types for the compiled build of base.py.
cimport cython

@cython.locals(known=dict)
cpdef get(name)
