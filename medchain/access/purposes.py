"""Purposes of use: the codes of HL7 version 3, value set PurposeOfUse (code system ActReason).

Policies take any word as a purpose; on a chain only these mean the same to everybody.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from medchain.errors import PolicyError

__all__ = ["PURPOSES", "check_purposes", "describe_purpose"]

PURPOSES: Mapping[str, str] = MappingProxyType(
    {
        "BIORCH": "biomedical research",
        "BTG": "break the glass",
        "CAREMGT": "care management",
        "CLINTRCH": "clinical trial research",
        "CLINTRCHNPC": "clinical trial research without patient care",
        "CLINTRCHPC": "clinical trial research with patient care",
        "CLINTRL": "clinical trial",
        "CLMATTCH": "claim attachment",
        "COC": "coordination of care",
        "COVAUTH": "coverage authorization",
        "COVERAGE": "coverage under policy or program",
        "DISASTER": "disaster",
        "DONAT": "donation",
        "DSRCH": "disease specific healthcare research",
        "ELIGDTRM": "eligibility determination",
        "ELIGVER": "eligibility verification",
        "ENROLLM": "enrollment",
        "ERTREAT": "emergency room treatment",
        "ETREAT": "emergency treatment",
        "FAMRQT": "family requested",
        "FRAUD": "fraud",
        "GOV": "government",
        "HACCRED": "health accreditation",
        "HCOMPL": "health compliance",
        "HDECD": "decedent",
        "HDIRECT": "directory",
        "HDM": "healthcare delivery management",
        "HLEGAL": "legal",
        "HMARKT": "healthcare marketing",
        "HOPERAT": "healthcare operations",
        "HOUTCOMS": "health outcome measure",
        "HPAYMT": "healthcare payment",
        "HPRGRP": "health program reporting",
        "HQUALIMP": "health quality improvement",
        "HRESCH": "healthcare research",
        "HSYSADMIN": "health system administration",
        "HTEST": "test health data",
        "LABELING": "labeling",
        "MEMADMIN": "member administration",
        "METAMGT": "metadata management",
        "MILCDM": "military command",
        "MILDCRG": "military discharge",
        "PATADMIN": "patient administration",
        "PATRQT": "patient requested",
        "PATSFTY": "patient safety",
        "PERFMSR": "performance measure",
        "POARCH": "population origins or ancestry healthcare research",
        "POPHLTH": "population health",
        "PRECLINTRCH": "preclinical trial research",
        "PUBHLTH": "public health",
        "PWATRNY": "power of attorney",
        "RECORDMGT": "records management",
        "REMITADV": "remittance advice",
        "SUPNWK": "support network",
        "SYSDEV": "system development",
        "THREAT": "threat",
        "TRAIN": "training",
        "TRANSRCH": "translational healthcare research",
        "TREAT": "treatment",
    }
)
"""What each code stands for."""


def check_purposes(codes: Iterable[str]) -> None:
    """Refuse what is no PurposeOfUse code, with a suggestion.

    Raises:
        PolicyError: which code is unknown, and what may be meant.

    >>> check_purposes(["TREAT", "TREATMENT"])
    Traceback (most recent call last):
    ...
    medchain.errors.PolicyError: TREATMENT is no HL7 purpose of use: TREAT (treatment)?
    """
    for code in codes:
        if code not in PURPOSES:
            meant = suggestions(code)
            raise PolicyError(f"{code[:40]} is no HL7 purpose of use{f': {meant}?' if meant else ''}")


def suggestions(code: str) -> str:
    """Codes that may be meant, by their spelling or by what they stand for."""
    wanted = code[:40]
    by_meaning = [known for known, meaning in PURPOSES.items() if meaning == wanted.replace("_", " ").lower()]
    close = by_meaning or difflib.get_close_matches(wanted.upper(), PURPOSES, n=2, cutoff=0.7)
    return " or ".join(f"{known} ({PURPOSES[known]})" for known in close)


def describe_purpose(code: str) -> str:
    """The code with what it stands for.

    >>> describe_purpose("ETREAT")
    'ETREAT (emergency treatment)'
    """
    return f"{code} ({PURPOSES[code]})" if code in PURPOSES else code
