# Types for the compiled build of failure.py.
cdef bint _marked

cpdef bint any_failed()
