"""A context that transformers opens around vmap; here indexing by tensors works as it is."""

from __future__ import annotations

from flambeau.stand_in import stand_in


@stand_in("a context in which nothing changes")
class TransformGetItemToIndex:
    """Nothing changes within: `x[i]` takes a tensor of no dimensions inside vmap anyway."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...
