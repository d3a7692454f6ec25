# Types for the compiled build of executable.py.
cimport cython
from flambeau.device.cpu cimport native
from flambeau.device.cpu.memory cimport Arena, CpuBuffer, Pool
from flambeau.device.cpu.runtime cimport Runtime
from flambeau.device.executable cimport Executable
from flambeau.graph.node cimport TensorType

cdef class Segment:
    cdef public size_t job
    cdef public list keep
    cdef public size_t records
    cdef public object retired
    cdef public list rows
    cdef public bint threaded

cdef class CpuExecutable(Executable):
    cdef public object device
    cdef public list slots
    cdef public list steps
    cdef public tuple scalars
    cdef public tuple inputs
    cdef public tuple outputs
    cdef public object arena
    cdef public Arena _arena
    cdef public Pool _pool
    cdef public Runtime _runtime
    cdef public Py_ssize_t _scratch
    cdef public Py_ssize_t _shared_bytes
    cdef public Py_ssize_t _room
    cdef public dict _place
    cdef public list _fresh
    cdef public list _results
    cdef public list _offsets
    cdef public Py_ssize_t _shared
    cdef public object _table
    cdef public Py_ssize_t _first
    cdef public unsigned long long[::1] _addresses
    cdef public object _rest
    cdef public Py_ssize_t _base
    cdef public object _numbers
    cdef public object _scalar_format
    cdef public list _segments

    @cython.locals(
        runtime=Runtime, buffers=list, of=TensorType, buffer=CpuBuffer, number=Py_ssize_t,
        addresses="unsigned long long[::1]",
    )
    cpdef list run(self, inputs, scalars)
    @cython.locals(runtime=Runtime, state=size_t, failed="long long")
    cpdef _run_segment(self, Segment segment)
