# Types for the compiled build of walk.py.
cimport cython
from flambeau.graph.node cimport Node, Signature, TensorType

cdef class Walk:
    cdef public bint marked
    cdef public list order
    cdef public list leaves
    cdef public list scalars
    cdef public dict position
    cdef public list key

    @cython.locals(
        node=Node, each=Node, position=dict, key=list, order=list, scalars=list, leaves=list,
        stack=list, of=TensorType,
    )
    cpdef _visit(self, roots)

@cython.locals(node=Node)
cdef set _retained(order)

@cython.locals(leaf=Node)
cdef list _references(leaves)

@cython.locals(node=Node, each=Node)
cdef dict _uses(order, set retained)

@cython.locals(leaf=Node, uses=dict, counts=list)
cpdef tuple donatable(Walk walk)
