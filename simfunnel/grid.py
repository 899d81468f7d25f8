"""How a distribution is stored, for those who make a table of it and for `numerics`, which reads it.

Apart from `numerics`, so that a scenario can be read and checked without numba, whose import takes as long as that.
"""

CONSTANT, CONTINUOUS, DISCRETE = 0, 1, 2
PER_OCTAVE = 128  # nodes for each halving of u (and of 1 - u)
OCTAVES = 53  # down to 2**-54, the least number that `uniform` gives
HALF = PER_OCTAVE * OCTAVES + 1  # nodes of one half of a table, the median included
