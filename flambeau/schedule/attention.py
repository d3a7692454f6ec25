"""Which ATTENTIONs go block by block, and which through stored scores.

Block by block no score is stored, and the backward computes the weights again: 9 products in all
where 6 do if the weights are kept. Where rows are short the scores stay in near memory, and that is
what counts; longer rows go block by block for their memory. Only lengths and causality decide:
neither the batch, nor whether the backward is in the same plan, so that results have the same bits.
"""

from __future__ import annotations

from flambeau.graph import op
from flambeau.graph.attention import plain
from flambeau.graph.node import Node
from flambeau.graph.rewrite import Rewriter, Rule
from flambeau.kernel.limits import Limits

FEWEST = 64
"""From so many queries and keys on, attention can go block by block."""

FEWEST_FULL = 320
"""The same where all keys count: with the backward, over 256 positions stored scores were 10 to
40 % faster, over 512 the two were even (docs/decisions.md)."""


def storing_scores(limits: Limits) -> Rule:
    """The rewrite rule, for PICK, that makes other primitives of those that store scores."""

    def store_scores(rewriter: Rewriter, picked: Node) -> Node | None:
        (whole,) = picked.inputs
        if whole.op not in (op.ATTENTION, op.ATTENTION_BACKWARD):
            return None
        if limits.attention and _in_blocks(whole):
            return None
        return rewriter.run([plain(whole)[picked.attrs[0]]])[0]

    return store_scores


def _in_blocks(whole: Node) -> bool:
    query, key, value = (each.shape for each in whole.inputs[:3])
    fewest = FEWEST if whole.attrs[0] else FEWEST_FULL
    return min(query[-2], key[-2]) >= fewest and min(query[-1], value[-1]) > 0
