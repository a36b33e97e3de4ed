"""Counters to gains: what both arms of a canary counted between two readings, summed over all exporters.

Guarantee: a function of the readings in their order, bit for bit, and of nothing else. Counts are exact, whatever the
number of exporters that share the traffic; sums of numbers are rounded once. A page (one exporter, all labels but the
metric's own) that is new tells where its counters start and gains nothing; one that is away keeps its last values; one
of whose counters any fell has begun anew at zero. Source of the reset rule: Prometheus, rate(), per series; here per
page and version, since a restart resets all of them, also those that have outgrown their last value.
Cost: O(series) a reading, one array of 8 bytes per series in memory.
Hazard: the same exporter scraped twice under different labels counts twice, here as in every rule.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from mlcanary.errors import StateError
from mlcanary.judge import layouts
from mlcanary.judge import reading as read
from mlcanary.judge.contract import FEATURE, Counts, Facts, Structure
from mlcanary.judge.reading import Reading, Sample
from mlcanary.judge.roles import Arms, ModelName
from mlcanary.stats.accumulator import Floats

Page = tuple[tuple[str, str], ...]
"""Labels of an exporter, sorted."""
