"""Two published meta-analyses as counts, whose results are printed in the literature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Thirteen trials of BCG vaccine against tuberculosis: cases and others among the vaccinated, cases
# and others among the controls, and the absolute latitude. Colditz et al. 1994, JAMA 271, 698-702,
# as tabled by Berkey et al. 1995, Statistics in Medicine 14, 395-411.
BCG = (
    (4, 119, 11, 128, 44), (6, 300, 29, 274, 55), (3, 228, 11, 209, 42),
    (62, 13536, 248, 12619, 52), (33, 5036, 47, 5761, 13), (180, 1361, 372, 1079, 44),
    (8, 2537, 10, 619, 19), (505, 87886, 499, 87892, 13), (29, 7470, 45, 7232, 27),
    (17, 1699, 65, 1600, 42), (186, 50448, 141, 27197, 18), (5, 2493, 3, 2338, 33),
    (27, 16886, 29, 17825, 33),
)  # fmt: skip

# Nine trials of diuretics in pregnancy: treated, controls, pre-eclampsia among either. Collins,
# Yusuf and Peto 1985, British Medical Journal 290, 17-23.
DIURETICS = (
    (131, 136, 14, 14), (385, 134, 21, 17), (57, 48, 14, 24), (38, 40, 6, 18), (1011, 760, 12, 35),
    (1370, 1336, 138, 175), (506, 524, 15, 20), (108, 103, 6, 2), (153, 102, 65, 40),
)  # fmt: skip


def log_risk_ratios() -> tuple[Floats, Floats, Floats]:
    """Return effects, variances and latitudes of the BCG trials."""
    a, b, c, d, latitude = np.asarray(BCG, dtype=np.float64).T
    effect = np.log(a / (a + b) / (c / (c + d)))
    return effect, 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d), latitude


def log_odds_ratios() -> tuple[Floats, Floats]:
    """Return effects and variances of the trials of diuretics."""
    n1, n2, a, c = np.asarray(DIURETICS, dtype=np.float64).T
    b, d = n1 - a, n2 - c
    return np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d
