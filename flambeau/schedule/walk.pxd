# Types for the compiled build of walk.py.
cimport cython
from flambeau.graph cimport references
from flambeau.graph.node cimport Node, Signature, TensorType

cdef class Walk:
    cdef public bint marked
    cdef public list order
    cdef public list leaves
    cdef public list scalars
    cdef public dict position
    cdef public list uses
    cdef public list key

    @cython.locals(
        node=Node, each=Node, position=dict, key=list, order=list, uses=list, stack=list,
        number=Py_ssize_t,
    )
    cdef _visit(self, Node root)
    @cython.locals(of=TensorType)
    cdef _take(self, Node leaf)

@cython.locals(node=Node)
cdef set _retained(order)

@cython.locals(leaf=Node)
cdef Py_ssize_t _to_leaf(list leaves, Py_ssize_t number)
@cython.locals(leaf=Node)
cdef Py_ssize_t _to_buffer(list leaves, Py_ssize_t number)

@cython.locals(node=Node, each=Node)
cdef list _uses(Walk walk, set retained)

@cython.locals(leaves=list, uses=list, retained=set, count=Py_ssize_t, number=Py_ssize_t)
cpdef tuple donatable(Walk walk)
