# Types for the compiled build of engine.py.
cimport cython
from flambeau.graph.history cimport History
from flambeau.graph.node cimport Node

cdef class Accumulator:
    cdef public dict of

    cpdef add(self, Node node, gradient)
    @cython.locals(items=list)
    cpdef add_picked(self, Node whole, number, gradient)

@cython.locals(history=History)
cpdef input_gradients(Node node, gradient, needed)
@cython.locals(node=Node, each=Node)
cpdef propagate(order, Accumulator accumulator, needs, arrive, check=*)
cdef _serve_hooks(History history, gradient)
cdef _deliver(History history, gradient)
cdef _check_history(Node node, History history)
