"""Deals as a CRM exports them, read as they were known on a date."""

from simfunnel.crm.evidence import QualityReport, Trouble
from simfunnel.crm.history import History
from simfunnel.crm.importing import Export, read_crm, read_export

__all__ = ["Export", "History", "QualityReport", "Trouble", "read_crm", "read_export"]
