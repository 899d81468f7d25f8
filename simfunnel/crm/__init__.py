"""Deals as a CRM exports them, read as they were known on a date."""

from simfunnel.crm.importing import Export, History, read_crm, read_export
from simfunnel.crm.quality import QualityReport, Trouble

__all__ = ["Export", "History", "QualityReport", "Trouble", "read_crm", "read_export"]
