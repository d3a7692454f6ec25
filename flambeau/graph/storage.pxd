# Types for the compiled build of storage.py.
from flambeau.graph.node cimport Node

cdef class Storage:
    cdef object __weakref__
    cdef public Node node
    cdef public object version
