# Types for the compiled build of watch.py.
cdef object _active

cpdef active()
