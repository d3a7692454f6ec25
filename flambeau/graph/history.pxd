# Types for the compiled build of history.py.
from flambeau.graph.node cimport Node

cdef class History:
    cdef public object leaf
    cdef public tuple saved
    cdef public object custom
    cdef public object hooks
    cdef public object retain
    cdef public bint freed

cpdef bint is_leaf(Node node)
cpdef bint keeps_inputs(Node node)
