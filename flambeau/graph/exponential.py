"""The numbers of e to a power, which devices and compositions of primitives share.

eˣ = 2ⁿ · eʳ with r = x - n log 2, |r| ≤ ½ log 2, and eʳ = 1 + r + r²/2 + r³ · polynomial of r.
Each entry is for float32, then for float64.
"""

from __future__ import annotations

LN2 = ((0.693145751953125, 1.4286068203094172e-06), (0.6931471803691238, 1.9082149292705877e-10))
"""log 2 in two parts; the first is so short that n times it needs no rounding."""

EXP_REST: tuple[tuple[float, ...], tuple[float, ...]] = (
    (
        0.1666666716337204,
        0.04166646674275398,
        0.008333132602274418,
        0.00139350607059896,
        0.00020022309035994112,
    ),
    (
        0.16666666666666666,
        0.04166666666666669,
        0.008333333333334485,
        0.0013888888888868313,
        0.00019841269836740316,
        2.4801587360805438e-05,
        2.7557326927593508e-06,
        2.7557241312982473e-07,
        2.5046167990196006e-08,
        2.0923038836849468e-09,
        1.7827502449252006e-10,
    ),
)
"""(eʳ - 1 - r - r²/2) / r³, lowest order first: minimax, relative to eʳ - 1 2⁻³¹ and 2⁻⁵⁸."""
