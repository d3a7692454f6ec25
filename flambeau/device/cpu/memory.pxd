# Types for the compiled build of memory.py.
cimport cython
from flambeau.device.buffer cimport Buffer
from flambeau.graph.node cimport TensorType

cdef class FreeList:
    cdef public object size
    cdef public list blocks

cdef class Pool:
    cdef public dict _by_bytes
    cdef public dict _by_size
    cdef public Py_ssize_t used
    cdef public Py_ssize_t most_used
    cdef public Py_ssize_t free
    cdef public Py_ssize_t kept

    @cython.locals(found=FreeList)
    cpdef CpuBuffer allocate(self, TensorType of)
    cpdef release(self, FreeList home, tuple block)

cdef class CpuBuffer(Buffer):
    cdef public size_t address
    cdef public tuple block
    cdef public Pool pool
    cdef public FreeList home

cdef class Arena:
    cdef public Py_ssize_t base
    cdef public Py_ssize_t size
    cdef public tuple _block
