from datetime import date

import numpy as np
import pytest

from simfunnel.errors import InputError
from simfunnel.periods import periods


def test_quarters_of_a_calendar_year():
    cut = periods(date(2026, 10, 1), 0, 182, "quarter")
    assert cut.labels == ("2026Q4", "2027Q1")
    assert cut.edges.tolist() == [0, 92, 182]


def test_a_quarter_cut_off_by_either_end_is_called_a_part():
    cut = periods(date(2026, 11, 15), 0, 60, "quarter")
    assert cut.labels == ("2026Q4 (part)", "2027Q1 (part)")
    assert cut.edges.tolist() == [0, 47, 60]


def test_a_fiscal_year_is_named_by_its_end():
    cut = periods(date(2027, 2, 1), 0, 365, "quarter", fiscal_year_ends=1)
    assert cut.labels == ("FY28 Q1", "FY28 Q2", "FY28 Q3", "FY28 Q4")
    assert cut.edges.tolist() == [0, 89, 181, 273, 365]


def test_months_know_their_lengths():
    cut = periods(date(2028, 1, 1), 0, 91, "month")
    assert cut.labels == ("2028-01", "2028-02", "2028-03")
    assert np.diff(cut.edges).tolist() == [31, 29, 31]


def test_weeks_begin_on_monday_and_have_iso_names():
    cut = periods(date(2026, 12, 30), 0, 10, "week")  # a Wednesday
    assert cut.labels == ("2026-W53 (part)", "2027-W01 (part)")
    assert cut.edges.tolist() == [0, 5, 10]


def test_a_time_belongs_to_the_period_that_it_begins():
    cut = periods(date(2026, 10, 1), 31, 92, "month")
    assert cut.labels == ("2026-11", "2026-12")
    assert cut.of(np.array([30.9, 31.0, 60.9, 61.0, 92.0])).tolist() == [-1, 0, 0, 1, 1]


def test_another_unit_is_refused():
    with pytest.raises(InputError, match=r"'quater' is no period; .* Did you mean 'quarter'"):
        periods(date(2026, 10, 1), 0, 92, "quater")
