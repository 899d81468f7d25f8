"""Grades of customers from their orders: who is worth how much, and which grading foretells the year to come.

An order table is a DataFrame with a row an order: `customer`, `date` (dates, or days as numbers), `amount`, and columns
of attributes. `orders_of` makes one of a simulation, `read_orders` of a file; every table is a pure function of one.

- Dates count by the day: an order belongs to the as-of day or to one before it, else it is not looked at.
- The window, or period, of w days that ends on day t holds the days after t - w, up to t.
- A negative amount is a credit note: it lowers a customer's money and is no purchase.
- Customers are told apart by what stands in `customer`; two spellings are two customers.
"""

from simfunnel.segments.asking import Choices, Segments
from simfunnel.segments.attributes import grade_shares
from simfunnel.segments.bookings import orders_of
from simfunnel.segments.classes import (
    INACTIVE,
    LETTERS,
    PYRAMID,
    QUADRANTS,
    abc,
    pyramid,
    pyramid_classes,
    pyramid_grade,
    value_fit,
)
from simfunnel.segments.columns import COLUMNS
from simfunnel.segments.foretelling import GRADINGS, foretells, gradings_of
from simfunnel.segments.ledger import NEEDED, YEAR, Grading, Moment
from simfunnel.segments.lifetime import DISCOUNT, lifetime_table, lifetime_value
from simfunnel.segments.reading import read_orders
from simfunnel.segments.recency import rfm, rfm_table
from simfunnel.segments.segmenting import segment, segment_file, segment_scenario
from simfunnel.segments.shares import class_table
from simfunnel.segments.writing import results_json, shown, write_segments

__all__ = [
    "COLUMNS",
    "DISCOUNT",
    "GRADINGS",
    "INACTIVE",
    "LETTERS",
    "NEEDED",
    "PYRAMID",
    "QUADRANTS",
    "YEAR",
    "Choices",
    "Grading",
    "Moment",
    "Segments",
    "abc",
    "class_table",
    "foretells",
    "grade_shares",
    "gradings_of",
    "lifetime_table",
    "lifetime_value",
    "orders_of",
    "pyramid",
    "pyramid_classes",
    "pyramid_grade",
    "read_orders",
    "results_json",
    "rfm",
    "rfm_table",
    "segment",
    "segment_file",
    "segment_scenario",
    "shown",
    "value_fit",
    "write_segments",
]
