# What compiled modules have in place of native.py.
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

ctypedef long long (*One)(size_t first) noexcept nogil
ctypedef long long (*Two)(size_t first, size_t second) noexcept nogil

cdef inline size_t address(object array) except? 0:
    cdef Py_buffer seen
    try:
        PyObject_GetBuffer(array, &seen, PyBUF_SIMPLE)
    except (BufferError, TypeError, ValueError):  # bfloat16, which the protocol has no name for
        return array.__array_interface__["data"][0]
    found = <size_t>seen.buf
    PyBuffer_Release(&seen)
    return found

cdef inline long long call(size_t function, size_t first) noexcept:
    cdef long long found
    with nogil:
        found = (<One>function)(first)
    return found

cdef inline long long call_with_two(size_t function, size_t first, size_t second) noexcept:
    cdef long long found
    with nogil:
        found = (<Two>function)(first, second)
    return found
