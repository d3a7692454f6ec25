# Types for the compiled build of buffer.py.
from flambeau.graph.node cimport TensorType

cdef class Buffer:
    cdef object __weakref__
    cdef public TensorType type
