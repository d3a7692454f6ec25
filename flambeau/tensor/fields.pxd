# Types for the compiled build of fields.py.
cimport cython
from flambeau.graph.history cimport History
from flambeau.graph.node cimport Node, TensorType
from flambeau.graph.storage cimport Storage
from flambeau.schedule cimport flush, watch

cdef class TensorFields:
    cdef object __weakref__
    cdef public Storage _storage
    cdef public TensorType _type
    cdef public object _view
    cdef public object _base
    cdef public bint _leaf
    cdef public bint _tracks
    cdef public bint _counts
    cdef public tuple _parent
    cdef public object _origin
    cdef public object _grad
    cdef public object _hooks
    cdef public tuple _read_cache

@cython.locals(made=TensorFields)
cpdef make(cls, Storage storage, TensorType of)
@cython.locals(storage=Storage)
cpdef own(cls, Node held)
@cython.locals(held=Node, history=History)
cpdef whole(TensorFields tensor)
