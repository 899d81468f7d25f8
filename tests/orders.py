"""Small order tables for the tests of grades, and a scenario whose customers buy again."""

import pandas as pd

# Everyone buys on the tenth day and, two in three, again after each 50 days; large ones for ten times as much.
REPEATING = """
name: Repeating
start: 2026-01-01
horizon: 700 days
calendar: always
attributes: {size: {small: 80%, large: 20%}}
sources: {web: {rate: 1 per week}}
value: {by: size, cases: {small: 100, large: 1000}}
stages:
  open: {exits: {customer: {after: 10 days}}}
  customer: {books: value, exits: {again: {chance: 67%, after: 50 days}, churned: {after: 50 days}}}
  again: {books: value, exits: {customer: {chance: 67%, after: 50 days}, churned: {after: 50 days}}}
"""


def orders(*rows):
    """An order table of (customer, day, amount)."""
    table = pd.DataFrame(rows, columns=["customer", "date", "amount"])
    return table.astype({"date": "float64", "amount": "float64"}) if not rows else table


def by_customer(table, column):
    return table.set_index("customer")[column].to_dict()


FIVE = orders(
    ("a", 100, 10),
    ("b", 90, 20),
    ("b", 50, 30),
    ("c", 80, 5),
    ("c", 70, 5),
    ("c", 60, 5),
    ("d", 10, 400),
    ("e", 95, 1),
)
