# Types for the compiled build of executable.py.

cdef class Executable:
    cdef object __weakref__

    cpdef list run(self, inputs, scalars)
    cpdef bint fits(self, scalars) except *
