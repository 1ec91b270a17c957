"""The ledger's tables. Facts about drops, schools and boards; nothing in them identifies a pupil.

Objections stand here as keyed MACs (16 bytes) and pseudonyms, results and registers outside the database as Parquet under pseudonyms and
keyed MACs. Every change of a table is an alembic migration (gateway/store/migrations).
"""

from gateway.store.models.campaigns import (
    Campaign,
    Enrolment,
    Objection,
    ObjectionPerson,
    ObjectionRegister,
    PendingWithdrawal,
    RecipientKey,
)
from gateway.store.models.drops import AuditRow, Drop, DropSchool, EffectRow, Part, Replacement
from gateway.store.models.publishing import Bundle, Credential, Download, PortalSession, Report
from gateway.store.models.registers import Board, Mandate, RegisterVersion, School
from gateway.store.models.time import Utc
from gateway.store.models.vendors import Revocation, Vendor, VendorCa, VendorKey, VendorLogin, VendorSigningKey

__all__ = [
    "AuditRow",
    "Board",
    "Bundle",
    "Campaign",
    "Credential",
    "Download",
    "Drop",
    "DropSchool",
    "EffectRow",
    "Enrolment",
    "Mandate",
    "Objection",
    "ObjectionPerson",
    "ObjectionRegister",
    "Part",
    "PendingWithdrawal",
    "PortalSession",
    "RecipientKey",
    "RegisterVersion",
    "Replacement",
    "Report",
    "Revocation",
    "School",
    "Utc",
    "Vendor",
    "VendorCa",
    "VendorKey",
    "VendorLogin",
    "VendorSigningKey",
]
