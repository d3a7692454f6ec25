# What compiled modules have in place of native.py.
ctypedef long long (*One)(size_t first) noexcept nogil
ctypedef long long (*Two)(size_t first, size_t second) noexcept nogil

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
