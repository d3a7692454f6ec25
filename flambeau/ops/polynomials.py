"""Polynomials that approximate elementary functions near zero, and how they are evaluated.

Each entry holds the coefficients for float32 and for float64, lowest order first, with a relative
error below 2⁻²⁹ and 2⁻⁵⁹ of the function over the interval named: fitted with 60 digits at
Chebyshev's points or by Remez' exchange, where each rounded coefficient is fixed before the next.
ERF_NEAR: 2⁻²⁹; ERFC_ROOT: of its square, 2⁻²⁹.
"""

from __future__ import annotations

from typing import Any

from flambeau.graph import dtype as dtypes
from flambeau.graph import op
from flambeau.ops.promote import as_node
from flambeau.tensor.record import record
from flambeau.tensor.tensor import Tensor

Coefficients = tuple[float, ...]

LOG_REST: tuple[Coefficients, Coefficients] = (  # (2 atanh s / s - 2 - 2/3 s²) / s⁴ in s²
    (0.40000152587890625, 0.2854708731174469, 0.2341976761817932),  # √½ ≤ (1 + s)/(1 - s) < √2
    (
        0.4000000000000227,
        0.28571428570091173,
        0.22222222521495577,
        0.18181784223670625,
        0.15386764187473284,
        0.13256652732260288,
        0.13197906662413406,
    ),
)
ATAN: tuple[Coefficients, Coefficients] = (  # (atan x / x - 1) / x² in x², |x| ≤ 1/2
    (
        -0.333333283662796,
        0.19999556243419647,
        -0.14273150265216827,
        0.1094883605837822,
        -0.08010810613632202,
        0.03906729444861412,
    ),
    (
        -0.3333333333333333,
        0.1999999999999934,
        -0.14285714285631887,
        0.11111111105900813,
        -0.09090908895203634,
        0.07692302921724878,
        -0.06666587034716423,
        0.05881411868902235,
        -0.05255128657469588,
        0.04712000212423654,
        -0.0412191521962587,
        0.03261635950806449,
        -0.01988759836041416,
        0.006609019492571399,
    ),
)
ASINH: tuple[Coefficients, Coefficients] = (  # (asinh x / x - 1) / x² in x², |x| ≤ 1/2
    (
        -0.1666666567325592,
        0.07499907165765762,
        -0.04461609572172165,
        0.03003355674445629,
        -0.0200494471937418,
        0.009256275370717049,
    ),
    (
        -0.16666666666666666,
        0.07499999999999693,
        -0.04464285714250042,
        0.0303819444234967,
        -0.022372158361663928,
        0.017352747990967803,
        -0.013964591047368212,
        0.011549060862847816,
        -0.009740266298040604,
        0.008269928488804998,
        -0.006820976221747495,
        0.005007525340967184,
        -0.0027547005157566515,
        0.0007964010549117688,
    ),
)
ASIN: tuple[Coefficients, Coefficients] = (  # (asin x / x - 1) / x² in x², |x| ≤ 1/2
    (0.1666666634, 0.07500094761, 0.04459931916, 0.03110172784, 0.01714371676, 0.03370072641),
    (
        0.16666666666666666,
        0.07499999999999991,
        0.04464285714288356,
        0.030381944441346388,
        0.022372159280670958,
        0.01735275744417904,
        0.013965010669346323,
        0.011549075679253536,
        0.00979286398999104,
        0.008135014182250638,
        0.008799140502073928,
        0.0003664939333357198,
        0.022586112733012198,
        -0.024063914786704988,
        0.030744527150263646,
    ),
)
ERF: tuple[Coefficients, Coefficients] = (  # erf x / x - 1 in x², |x| ≤ 1
    (
        0.128379167,
        -0.3761263847,
        0.112837825,
        -0.02686543073,
        0.005221031808,
        -0.0008484080405,
        0.0001126595902,
        -9.667044567e-06,
    ),
    (
        0.12837916709551256,
        -0.37612638903183754,
        0.1128379167095512,
        -0.02686617064512984,
        0.0052239776254232985,
        -0.000854832702193483,
        0.00012055332902888734,
        -1.4925647567519298e-05,
        1.6462045441467787e-06,
        -1.636464215815949e-07,
        1.4792401209333676e-08,
        -1.2164560056878832e-09,
        8.70904512770522e-11,
        -4.230945822299619e-12,
    ),
)
ERF_FIRST = (0.1283791670955126, -1.2420116002463032e-17)
"""2/√π - 1, to which the first coefficient is rounded, and what that double lacks."""

ERF_REST: tuple[Coefficients, Coefficients] = (ERF[0][1:], ERF[1][1:])

ERFC_MIDDLE = (0.5107913526210115, -8.552044580331891e-18)
"""exp(x²) · erfc x / t for t = 1 / (1 + x/2) = ½, and what that double lacks."""

ERFC: tuple[Coefficients, Coefficients] = (  # (exp(x²) · erfc x / t less that) / (t - ½), x ≥ ½
    (
        0.6871606707572937,
        0.5589441657066345,
        0.14577078819274902,
        -0.1720818728208542,
        -0.10373517870903015,
        0.09874921292066574,
        0.05450645461678505,
        -0.0825706198811531,
        -0.012987273745238781,
        0.0635591670870781,
        -0.0292181596159935,
        -0.05656838417053223,
    ),
    (
        0.6871606844138106,
        0.5589441851121094,
        0.14576892602749855,
        -0.17208529511587486,
        -0.1036669610801035,
        0.09889958589409442,
        0.05358694760036228,
        -0.08487340877880059,
        -0.008799062716764188,
        0.07396903254288482,
        -0.0349694487885585,
        -0.044434421880127584,
        0.06605624596172822,
        -0.009197648947531748,
        -0.06011745161091129,
        0.06501185198332371,
        0.004315710225700606,
        -0.06574766189450185,
        0.05775304325193916,
        -0.08484539383226271,
        -0.05257376663304006,
        0.524551079737191,
        0.24416103919409213,
        -0.9087041222176988,
        -1.0515036430322626,
        -0.3277826873553874,
    ),
)
LGAMMA_FIRST = (
    (0.42278433509846713, 4.942915152430645e-18),
    (0.3224670334241132, 1.520336175199238e-17),
)
"""1 - γ and (ζ(2) - 1) / 2, the first terms of log Γ(2 + x) / x, and what these doubles lack."""

LGAMMA: tuple[Coefficients, Coefficients] = (  # what is left of it, divided by x², |x| ≤ 1/2
    (
        -0.0673523023724556,
        0.020580798387527466,
        -0.007385502103716135,
        0.0028908331878483295,
        -0.0011933917412534356,
        0.0005062476266175508,
        -0.0002193879336118698,
        0.00011402971722418442,
        -5.507811511051841e-05,
    ),
    (
        -0.06735230105319813,
        0.020580808427784585,
        -0.00738555102866871,
        0.0028905103307369524,
        -0.0011927539119855142,
        0.0005096695249550198,
        -0.00022315475098665176,
        9.945750774860542e-05,
        -4.492634885147224e-05,
        2.0507282182131704e-05,
        -9.438471590921736e-06,
        4.374279392621707e-06,
        -2.0448759677899593e-06,
        9.582288526803672e-07,
        -4.304394270108832e-07,
        2.0230202089236305e-07,
        -1.3406125516282122e-07,
        6.443317112284413e-08,
    ),
)


ERF_IS_ONE = 3.9375
"""Where erf is 1 in float32."""

ERF_MIDDLE = 0.90234375
"""Where the one approximation follows the other: there both err least, and √erfc is a float."""

ERF_CENTER = 0.390625
"""About the middle of x² there: powers of the distance from it, and their rounding, are small."""

ERF_NEAR: tuple[Coefficients, Coefficients] = (  # erf x / x - 1 in x² - ERF_CENTER, to ERF_MIDDLE
    (
        -0.0028145883698016405,
        -0.29911792278289795,
        0.08566669374704361,
        -0.019875558093190193,
        0.003801914630457759,
        -0.0006177707109600306,
        8.49779462441802e-05,
    ),
    (),
)
ERFC_ROOT: tuple[Coefficients, Coefficients] = (  # √erfc x in x - ERF_MIDDLE, up to ERF_IS_ONE
    (
        0.4493526220321655,
        -0.5561918020248413,
        0.1576552838087082,
        0.0786779522895813,
        -0.04529677703976631,
        -0.006258499342948198,
        0.006508759688585997,
        0.0016638567904010415,
        -0.002309540519490838,
        0.0008174977847374976,
        -0.00014237768482416868,
        1.2119396160414908e-05,
        -3.6739663755724905e-07,
    ),
    (),
)
"""So that erf needs no exponential function and no division; float32 only, as ERF_NEAR."""


def fma(x: Any, y: Any, z: Any) -> Any:
    """x · y + z, rounded once; one of them is a tensor of floats, the others may be numbers."""
    dtype = next(each.dtype for each in (x, y, z) if isinstance(each, Tensor))
    return record(op.FMA, [as_node(each, dtype) for each in (x, y, z)])


def evaluate(table: tuple[Coefficients, Coefficients], x: Any) -> Any:
    """The polynomial of x's precision at x, by Horner's rule."""
    coefficients = table[x.dtype is dtypes.float64]
    result: Any = coefficients[-1]
    for each in coefficients[-2::-1]:
        result = fma(result, x, each)
    return result


def odd(table: tuple[Coefficients, Coefficients], x: Any) -> Any:
    """x + x³ · polynomial of x²: relatively accurate down to zero."""
    square = x * x
    return fma(x, square * evaluate(table, square), x)
