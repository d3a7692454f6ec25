# Types for the compiled build of runtime.py.

cdef class Runtime:
    cdef public size_t alone
    cdef public size_t together
    cdef public object lock
    cdef public Py_ssize_t threads
    cdef public size_t records
    cdef public size_t state
    cdef public list retired
    cdef public object _start
    cdef public object _stop
    cdef public Py_ssize_t _scratch
    cdef public Py_ssize_t _room
    cdef public list _kept
    cdef public object _state_block

    cpdef reserve(self, Py_ssize_t scratch, Py_ssize_t room)
    cpdef size_t start(self) except? 0
