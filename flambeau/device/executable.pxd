# Types for the compiled build of executable.py.

cdef class Executable:
    cdef object __weakref__
