# Types for the compiled build of view.py.

cdef class View:
    cdef object __weakref__
    cdef public object offset
    cdef public object shape
    cdef public tuple starts
    cdef public tuple steps
    cdef public object strides

    cpdef View sliced(self, starts, sizes, steps)
    cpdef View permuted(self, axes)
    cpdef View unsqueezed(self, axis)
    cpdef reshaped(self, shape)

cpdef tuple contiguous_strides(shape)
cpdef reshaped_strides(shape, strides, target)
