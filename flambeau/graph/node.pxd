# Types for the compiled build of node.py: see docs/decisions.md.
cimport cython

cdef class TensorType:
    cdef public tuple shape
    cdef public object dtype
    cdef public object size
    cdef public object nbytes
    cdef public bint is_complex
    cdef public object uid

cdef class TupleType:
    cdef public tuple items

cdef class Signature:
    cdef public object op
    cdef public tuple attrs
    cdef public tuple inputs
    cdef public object result
    cdef public object uid
    cdef public object template

cdef class Node:
    cdef object __weakref__
    cdef public object buffer
    cdef public object device
    cdef public object history
    cdef public tuple inputs
    cdef public bint requires_grad
    cdef public tuple scalars
    cdef public Signature signature
    cdef public tuple site
    cdef public tuple span
    cdef public object type

@cython.locals(found=TensorType, known=dict)
cpdef TensorType tensor_type(shape, dtype)
@cython.locals(found=Signature, known=dict)
cpdef Signature signature_of(op, tuple attrs, tuple types)

@cython.locals(each=Node)
cpdef Node node(op, tuple inputs, tuple attrs=*, tuple scalars=*, tuple site=*)

@cython.locals(current=Node, each=Node, order=list, done=set, stack=list)
cpdef list walk(roots, enter=*)
