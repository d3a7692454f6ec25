# Types for the compiled build of runtime.py.

cdef class Runtime:
    cdef public object run_alone
    cdef public object run_together
    cdef public object lock
    cdef public object threads
    cdef public object records
    cdef public object state
    cdef public list retired
    cdef public object _start
    cdef public object _stop
    cdef public Py_ssize_t _scratch
    cdef public Py_ssize_t _room
    cdef public list _kept
    cdef public object _state_block

    cpdef reserve(self, Py_ssize_t scratch, Py_ssize_t room)
    cpdef start(self)
