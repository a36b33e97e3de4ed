"""One statistic per file: numbers in, numbers out; nothing here knows of models or metrics.

Every accumulator obeys the laws of `tests/laws.py`: an empty one is neutral, merge is associative and
commutative, any split and merge equals one pass, `minus` undoes `merge`, reading changes nothing.
"""
