"""Write bundle.json: the record of one invented patient as a FHIR R4 collection bundle.

The person, the clinic and every value are made up. Each resource carries the label HTEST (test health data),
and all identifiers lie below the example arc ``urn:oid:2.999``. The codes are real: SNOMED CT, ICD-10, LOINC,
UCUM, RxNorm (ingredients), ATC and CVX. The script needs the standard library only, draws no randomness and
reads no clock, so it gives the same bytes everywhere::

    python make_bundle.py            # write bundle.json beside this script
    python make_bundle.py --check    # exit status 1 if bundle.json differs
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import uuid
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

Json = dict[str, Any]

OUTPUT = Path(__file__).with_name("bundle.json")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "2.999.17")
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
CVX = "http://hl7.org/fhir/sid/cvx"
MDC = "urn:oid:2.16.840.1.113883.6.24"


# --- small pieces -------------------------------------------------------------------------------------------


def urn(name: str) -> str:
    """The bundle-wide identity of the resource that this script calls `name`."""
    return f"urn:uuid:{uuid.uuid5(NAMESPACE, name)}"


def ref(name: str, display: str | None = None) -> Json:
    return {"reference": urn(name)} | ({"display": display} if display else {})


def coding(system: str, code: str, display: str) -> Json:
    return {"system": system, "code": code, "display": display}


def concept(*codings: Json, text: str | None = None) -> Json:
    return {"coding": list(codings), "text": text or codings[0]["display"]}


def term(name: str, code: str, display: str) -> Json:
    """A concept from one of HL7's own code systems."""
    return concept(coding(f"{TERMINOLOGY}/{name}", code, display))


def quantity(value: int | float, unit: str, code: str | None = None) -> Json:
    return {"value": value, "unit": unit, "system": UCUM, "code": code or unit}


def identifier(kind: str, value: str, **fields: Any) -> list[Json]:
    return [{**fields, "system": f"urn:oid:2.999.17.{kind}", "value": value}]


PATIENT = ref("patient", "Zoë Testperson")
WU = ref("dr-wu", "Dr. Mei Wu")
LEE = ref("dr-lee", "Dr. Jonas Lee")
CLINIC = ref("clinic", "Example Clinic")
LABORATORY = ref("laboratory", "Example Laboratory")


def resource(
    kind: str, name: str, summary: str, updated: str, /, *, restricted: bool = False, **fields: Any
) -> Json:
    """One resource with its labels and a narrative; `name` becomes its identity."""
    security = [coding(f"{TERMINOLOGY}/v3-ActReason", "HTEST", "test health data")]
    if restricted:
        security.append(coding(f"{TERMINOLOGY}/v3-Confidentiality", "R", "restricted"))
    return {
        "resourceType": kind,
        "id": str(uuid.uuid5(NAMESPACE, name)),
        "meta": {"versionId": "1", "lastUpdated": updated, "security": security},
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(summary)}</p></div>',
        },
        **fields,
    }


# --- who and where ------------------------------------------------------------------------------------------


def people() -> Iterator[Json]:
    yield resource(
        "Patient",
        "patient",
        "Zoë Testperson, female, born 11 April 1968",
        "2025-01-14T09:02:11.000+01:00",
        identifier=identifier("1", "TEST-0000017", use="official",
                              type=term("v2-0203", "MR", "Medical record number")),
        active=True,
        name=[{"use": "official", "family": "Testperson", "given": ["Zoë", "Synthia"]},
              {"use": "maiden", "family": "Musterfrau"}],
        telecom=[{"system": "phone", "value": "+1-555-0100", "use": "home"},
                 {"system": "email", "value": "zoe.testperson@example.org"}],
        gender="female",
        birthDate="1968-04-11",
        address=[{"use": "home", "line": ["17 Sample Street"], "city": "Exampletown", "postalCode": "00017"}],
        maritalStatus=term("v3-MaritalStatus", "M", "Married"),
        contact=[{"relationship": [term("v2-0131", "C", "Emergency Contact")],
                  "name": {"family": "Testperson", "given": ["Adam"]},
                  "telecom": [{"system": "phone", "value": "+1-555-0101"}]}],
        communication=[{"language": concept(coding("urn:ietf:bcp:47", "en", "English")), "preferred": True}],
        generalPractitioner=[WU],
        managingOrganization=CLINIC,
    )
    for name, display, kind, label, phone in (
        ("clinic", "Example Clinic", "prov", "Healthcare Provider", "+1-555-0110"),
        ("laboratory", "Example Laboratory", "other", "Other", "+1-555-0120"),
    ):
        yield resource(
            "Organization", name, display, "2024-11-04T08:00:00.000+01:00",
            identifier=identifier("2", name),
            active=True,
            type=[term("organization-type", kind, label)],
            name=display,
            telecom=[{"system": "phone", "value": phone, "use": "work"}],
            address=[{"line": ["1 Clinic Road"], "city": "Exampletown", "postalCode": "00017"}],
        )
    for name, family, given, role in (
        ("dr-wu", "Wu", "Mei", "General practice"),
        ("dr-lee", "Lee", "Jonas", "Emergency medicine"),
        ("dr-ray", "Ray", "Noor", "Radiology"),
    ):
        yield resource(
            "Practitioner", name, f"Dr. {given} {family}, {role.lower()}", "2024-11-04T08:00:00.000+01:00",
            identifier=identifier("3", name),
            active=True,
            name=[{"use": "official", "family": family, "given": [given], "prefix": ["Dr."]}],
            telecom=[{"system": "email", "value": f"{name}@clinic.example", "use": "work"}],
            qualification=[{
                "code": concept(coding(f"{TERMINOLOGY}/v2-0360", "MD", "Doctor of Medicine"), text=role),
                "issuer": CLINIC,
            }],
        )


def encounters() -> Iterator[Json]:
    for name, code, kind, snomed, label, start, end, doctor, reason in (
        ("checkup", "AMB", "ambulatory", "185349003", "Encounter for check up",
         "2025-01-14T09:00:00+01:00", "2025-01-14T09:40:00+01:00", WU, "diabetes"),
        ("admission", "IMP", "inpatient encounter", "32485007", "Hospital admission",
         "2025-02-20T21:15:00+01:00", "2025-02-24T11:30:00+01:00", LEE, "pneumonia"),
        ("follow-up", "AMB", "ambulatory", "390906007", "Follow-up encounter",
         "2025-04-15T10:00:00+02:00", "2025-04-15T10:45:00+02:00", WU, "depression"),
    ):
        extra: Json = {}
        if name == "admission":
            extra["hospitalization"] = {
                "admitSource": term("admit-source", "emd", "From accident/emergency department"),
                "dischargeDisposition": term("discharge-disposition", "home", "Home"),
            }
        yield resource(
            "Encounter", name, f"{label}, {start[:10]} to {end[:10]}", f"{end[:19]}.000{end[19:]}",
            restricted=name == "follow-up",
            identifier=identifier("4", f"VISIT-{start[:10]}"),
            status="finished",
            **{"class": coding(f"{TERMINOLOGY}/v3-ActCode", code, kind)},
            type=[concept(coding(SNOMED, snomed, label))],
            subject=PATIENT,
            participant=[{"type": [term("v3-ParticipationType", "ATND", "attender")], "individual": doctor}],
            period={"start": start, "end": end},
            diagnosis=[{"condition": ref(reason),
                        "use": term("diagnosis-role", "AD", "Admission diagnosis")}],
            serviceProvider=CLINIC,
            **extra,
        )


# --- findings -----------------------------------------------------------------------------------------------


def conditions() -> Iterator[Json]:
    for name, status, snomed, label, icd, icd_label, onset, end, visit, note in (
        ("diabetes", "active", "44054006", "Diabetes mellitus type 2", "E11.9",
         "Type 2 diabetes mellitus without complications", "2016-09-05", None, "checkup",
         "Diet and metformin; feet and eyes examined every year."),
        ("hypertension", "active", "59621000", "Essential hypertension", "I10",
         "Essential (primary) hypertension", "2018-03-20", None, "checkup",
         "Home readings are kept in a diary and brought to each visit."),
        ("pneumonia", "resolved", "385093006", "Community acquired pneumonia", "J18.9",
         "Pneumonia, unspecified", "2025-02-18", "2025-03-10", "admission",
         "Right lower lobe. Came in by night with fever and shortness of breath."),
        ("depression", "active", "370143000", "Major depressive disorder", "F32.1",
         "Moderate depressive episode", "2024-10-01", None, "follow-up",
         "The patient asked that this entry be shown to her own doctor only."),
    ):
        yield resource(
            "Condition", name, f"{label} ({icd}), since {onset}", "2025-04-15T10:50:00.000+02:00",
            restricted=name == "depression",
            clinicalStatus=term("condition-clinical", status, status.capitalize()),
            verificationStatus=term("condition-ver-status", "confirmed", "Confirmed"),
            category=[term("condition-category", "encounter-diagnosis", "Encounter Diagnosis")],
            code=concept(coding(SNOMED, snomed, label), coding(ICD10, icd, icd_label)),
            subject=PATIENT,
            encounter=ref(visit),
            onsetDateTime=onset,
            **({"abatementDateTime": end} if end else {}),
            recordedDate=onset,
            recorder=WU,
            note=[{"authorReference": WU, "text": note}],
        )


def allergy() -> Json:
    return resource(
        "AllergyIntolerance", "penicillin-allergy", "Allergy to penicillin: urticaria in 1999",
        "2025-01-14T09:12:00.000+01:00",
        clinicalStatus=term("allergyintolerance-clinical", "active", "Active"),
        verificationStatus=term("allergyintolerance-verification", "confirmed", "Confirmed"),
        type="allergy",
        category=["medication"],
        criticality="high",
        code=concept(coding(SNOMED, "91936005", "Allergy to penicillin"),
                     coding(ICD10, "Z88.0", "Personal history of allergy to penicillin")),
        patient=PATIENT,
        onsetDateTime="1999-06",
        recorder=WU,
        reaction=[{
            "substance": concept(coding(SNOMED, "764146007", "Penicillin"),
                                 coding(ATC, "J01C", "Beta-lactam antibacterials, penicillins")),
            "manifestation": [concept(coding(SNOMED, "126485001", "Urticaria"))],
            "onset": "1999-06-12",
            "severity": "moderate",
        }],
    )


VITALS, LAB, SOCIAL, SURVEY = (
    ("vital-signs", "Vital Signs"), ("laboratory", "Laboratory"), ("social-history", "Social History"),
    ("survey", "Survey"),
)


def observation(
    name: str, code: Json, when: str, visit: str, category: tuple[str, str], summary: str, /,
    *, performer: Json = WU, restricted: bool = False, **fields: Any,
) -> Json:
    return resource(
        "Observation", name, f"{summary}, {when[:10]}", f"{when[:19]}.000{when[19:]}", restricted=restricted,
        identifier=identifier("5", name),
        status="final",
        category=[term("observation-category", *category)],
        code=code,
        subject=PATIENT,
        encounter=ref(visit),
        effectiveDateTime=when,
        issued=f"{when[:19]}.000{when[19:]}",
        performer=[performer],
        **fields,
    )


def blood_pressure(name: str, when: str, visit: str, systolic: int, diastolic: int) -> Json:
    return observation(
        name, concept(coding(LOINC, "85354-9", "Blood pressure panel with all children optional")),
        when, visit, VITALS, f"Blood pressure {systolic}/{diastolic} mmHg",
        bodySite=concept(coding(SNOMED, "368209003", "Right upper arm")),
        component=[
            {"code": concept(coding(LOINC, code, label)), "valueQuantity": quantity(value, "mmHg", "mm[Hg]")}
            for code, label, value in (("8480-6", "Systolic blood pressure", systolic),
                                       ("8462-4", "Diastolic blood pressure", diastolic))
        ],
    )


MORNING, NIGHT, SPRING = "2025-01-14T09:10:00+01:00", "2025-02-20T21:40:00+01:00", "2025-04-15T10:15:00+02:00"

# name, LOINC, display, value, unit, UCUM code if it differs, low, high, when, encounter, category
MEASURED: tuple[tuple[Any, ...], ...] = (
    ("weight", "29463-7", "Body weight", 81.4, "kg", None, None, None, MORNING, "checkup", VITALS),
    ("heart-rate", "8867-4", "Heart rate", 112, "beats/minute", "/min", 60, 100, NIGHT, "admission", VITALS),
    ("temperature", "8310-5", "Body temperature", 39.2, "°C", "Cel", 36.1, 37.5, NIGHT, "admission", VITALS),
    ("saturation", "59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", 91, "%", None, 94, 100,
     NIGHT, "admission", VITALS),
    ("hba1c-winter", "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", 7.9, "%", None, 4.0, 6.0,
     MORNING, "checkup", LAB),
    ("hba1c-spring", "4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", 7.1, "%", None, 4.0, 6.0,
     SPRING, "follow-up", LAB),
    ("creatinine", "2160-0", "Creatinine [Mass/volume] in Serum or Plasma", 0.9, "mg/dL", None, 0.6, 1.1,
     MORNING, "checkup", LAB),
    ("crp", "1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", 164, "mg/L", None, None, 5,
     NIGHT, "admission", LAB),
    ("leukocytes", "6690-2", "Leukocytes [#/volume] in Blood by Automated count", 16.8, "10*3/uL", None,
     4.0, 11.0, NIGHT, "admission", LAB),
    ("haemoglobin", "718-7", "Hemoglobin [Mass/volume] in Blood", 13.1, "g/dL", None, 12.0, 16.0,
     NIGHT, "admission", LAB),
    ("platelets", "777-3", "Platelets [#/volume] in Blood by Automated count", 287, "10*3/uL", None, 150, 400,
     NIGHT, "admission", LAB),
)


def measurement(row: tuple[Any, ...]) -> Json:
    name, code, label, value, unit, ucum, low, high, when, visit, category = row
    fields: Json = {"valueQuantity": quantity(value, unit, ucum)}
    if low is not None or high is not None:
        flag = ("H", "High") if high is not None and value > high else (
            ("L", "Low") if low is not None and value < low else ("N", "Normal"))
        fields["interpretation"] = [term("v3-ObservationInterpretation", *flag)]
        fields["referenceRange"] = [
            ({"low": quantity(low, unit, ucum)} if low is not None else {})
            | ({"high": quantity(high, unit, ucum)} if high is not None else {})
        ]
    performer = LABORATORY if category is LAB else (LEE if visit == "admission" else WU)
    summary = f"{label}: {value} {unit}"
    return observation(name, concept(coding(LOINC, code, label)), when, visit, category, summary,
                       performer=performer, **fields)


def observations() -> Iterator[Json]:
    yield blood_pressure("pressure-winter", MORNING, "checkup", 148, 92)
    yield blood_pressure("pressure-spring", SPRING, "follow-up", 132, 84)
    for row in MEASURED:
        yield measurement(row)
    yield observation(
        "smoking", concept(coding(LOINC, "72166-2", "Tobacco smoking status")), MORNING, "checkup", SOCIAL,
        "Tobacco smoking status: ex-smoker",
        valueCodeableConcept=concept(coding(SNOMED, "8517006", "Ex-smoker")),
    )
    yield observation(
        "phq-9", concept(coding(LOINC, "44261-6", "Patient Health Questionnaire 9 item (PHQ-9) total score")),
        SPRING, "follow-up", SURVEY, "PHQ-9 total score: 12", restricted=True,
        valueInteger=12,
        note=[{"text": "Sum of nine items from 0 to 3 each; 10 to 14 is read as moderate."}],
    )
    yield electrocardiogram()


# --- a signal -----------------------------------------------------------------------------------------------

# One heart beat as (millisecond, microvolt) corners: P wave, QRS complex, T wave. Straight lines between the
# corners keep everything in integers, so that the samples are the same on every machine.
BEAT = ((0, 0), (40, 0), (80, 120), (120, 0), (160, 0), (172, -90), (192, 1050), (212, -240), (228, 0),
        (330, 0), (400, 260), (470, 0), (540, 0))
BEAT_MS = 540          # about 111 beats a minute
SAMPLE_MS = 8
SAMPLES = 625          # five seconds


def beat(moment: int) -> int:
    """Microvolts at `moment` milliseconds into a beat."""
    for (start, low), (end, high) in pairwise(BEAT):
        if moment <= end:
            return low + (high - low) * (moment - start) // (end - start)
    return 0


def lead(percent: int, wander: int) -> str:
    """SampledData of one lead: the beat scaled, on a slow triangle of `wander` microvolts as a base line."""
    values = []
    for index in range(SAMPLES):
        phase = index % 250
        base = wander * (phase if phase < 125 else 250 - phase) // 125
        values.append(beat(index * SAMPLE_MS % BEAT_MS) * percent // 100 + base)
    return " ".join(map(str, values))


def electrocardiogram() -> Json:
    return observation(
        "ecg", concept(coding(LOINC, "11524-6", "EKG study"), coding(MDC, "131328", "MDC_ECG_ELEC_POTL")),
        "2025-02-20T21:52:00+01:00", "admission", ("procedure", "Procedure"),
        "Electrocardiogram, leads I, II and III: sinus tachycardia, 111 beats a minute", performer=LEE,
        interpretation=[term("v3-ObservationInterpretation", "A", "Abnormal")],
        component=[
            {"code": concept(coding(MDC, code, label), text=f"Lead {name}"),
             "valueSampledData": {"origin": quantity(0, "µV", "uV"), "period": SAMPLE_MS, "factor": 1,
                                  "lowerLimit": -3300, "upperLimit": 3300, "dimensions": 1,
                                  "data": lead(percent, wander)}}
            for name, code, label, percent, wander in (
                ("I", "131329", "MDC_ECG_ELEC_POTL_I", 60, 24),
                ("II", "131330", "MDC_ECG_ELEC_POTL_II", 100, 40),
                ("III", "131389", "MDC_ECG_ELEC_POTL_III", 40, 16),
            )
        ],
    )


# --- treatment ----------------------------------------------------------------------------------------------


def medications() -> Iterator[Json]:
    for name, rx, atc, drug, dose, times, started, reason, status, visit in (
        ("metformin", "6809", "A10BA02", "metformin", "500 mg tablet with meals", 2, "2025-01-14", "diabetes",
         "active", "checkup"),
        ("lisinopril", "29046", "C09AA03", "lisinopril", "10 mg tablet in the morning", 1, "2025-01-14",
         "hypertension", "active", "checkup"),
        ("doxycycline", "3640", "J01AA02", "doxycycline", "100 mg capsule", 2, "2025-02-21", "pneumonia",
         "completed", "admission"),
        ("sertraline", "36437", "N06AB06", "sertraline", "50 mg tablet in the morning", 1, "2025-04-15",
         "depression", "active", "follow-up"),
    ):
        amount = int(dose.split()[0])
        yield resource(
            "MedicationRequest", name, f"{drug}, {dose}, {times} a day, from {started}",
            f"{started}T12:00:00.000+01:00",
            restricted=name == "sertraline",
            identifier=identifier("6", f"RX-{name}"),
            status=status,
            intent="order",
            medicationCodeableConcept=concept(coding(RXNORM, rx, drug), coding(ATC, atc, drug)),
            subject=PATIENT,
            encounter=ref(visit),
            authoredOn=started,
            requester=LEE if name == "doxycycline" else WU,
            reasonReference=[ref(reason)],
            dosageInstruction=[{
                "text": f"{dose}, {times} a day",
                "timing": {"repeat": {"frequency": times, "period": 1, "periodUnit": "d"}
                           | ({"boundsDuration": quantity(7, "days", "d")} if name == "doxycycline" else {})},
                "route": concept(coding(SNOMED, "26643006", "Oral route")),
                "doseAndRate": [{"doseQuantity": quantity(amount, "mg")}],
            }],
            dispenseRequest={"numberOfRepeatsAllowed": 0 if name == "doxycycline" else 3,
                             "quantity": {"value": 14 if name == "doxycycline" else 90}},
        )


def immunizations() -> Iterator[Json]:
    for name, cvx, label, when, lot in (
        ("influenza", "140", "Influenza, seasonal, injectable, preservative free", "2024-10-17",
         "TEST-FLU-24"),
        ("pneumococcal", "33", "pneumococcal polysaccharide vaccine, 23 valent", "2025-04-15", "TEST-PPV-25"),
    ):
        yield resource(
            "Immunization", name, f"{label}, {when}", f"{when}T10:30:00.000+02:00",
            status="completed",
            vaccineCode=concept(coding(CVX, cvx, label)),
            patient=PATIENT,
            occurrenceDateTime=when,
            primarySource=True,
            lotNumber=lot,
            site=concept(coding(SNOMED, "368208006", "Left upper arm")),
            performer=[{"actor": WU}],
        )


def procedure() -> Json:
    return resource(
        "Procedure", "chest-xray", "Plain chest X-ray in two views", "2025-02-20T22:20:00.000+01:00",
        status="completed",
        category=concept(coding(SNOMED, "103693007", "Diagnostic procedure")),
        code=concept(coding(SNOMED, "399208008", "Plain chest X-ray")),
        subject=PATIENT,
        encounter=ref("admission"),
        performedDateTime="2025-02-20T22:05:00+01:00",
        performer=[{"actor": ref("dr-ray", "Dr. Noor Ray"), "onBehalfOf": CLINIC}],
        reasonReference=[ref("pneumonia")],
        bodySite=[concept(coding(SNOMED, "51185008", "Thoracic structure"))],
        report=[ref("xray-report")],
    )


def reports() -> Iterator[Json]:
    yield resource(
        "DiagnosticReport", "blood-count", "Blood count at admission: leukocytosis",
        "2025-02-20T23:05:00.000+01:00",
        identifier=identifier("7", "LAB-20250220-17"),
        status="final",
        category=[term("v2-0074", "HM", "Hematology")],
        code=concept(coding(LOINC, "58410-2", "CBC panel - Blood by Automated count")),
        subject=PATIENT,
        encounter=ref("admission"),
        effectiveDateTime=NIGHT,
        issued="2025-02-20T23:05:00.000+01:00",
        performer=[LABORATORY],
        result=[ref("leukocytes"), ref("haemoglobin"), ref("platelets"), ref("crp")],
        conclusion="Leukocytosis with raised C-reactive protein, in keeping with a bacterial infection.",
    )
    yield resource(
        "DiagnosticReport", "xray-report", "Chest X-ray: right lower lobe consolidation",
        "2025-02-20T22:40:00.000+01:00",
        identifier=identifier("7", "RAD-20250220-04"),
        status="final",
        category=[term("v2-0074", "RAD", "Radiology")],
        code=concept(coding(LOINC, "36643-5", "XR Chest 2 Views")),
        subject=PATIENT,
        encounter=ref("admission"),
        effectiveDateTime="2025-02-20T22:05:00+01:00",
        issued="2025-02-20T22:40:00.000+01:00",
        performer=[ref("dr-ray", "Dr. Noor Ray")],
        conclusion="Consolidation of the right lower lobe. No effusion. Heart size normal.",
        conclusionCode=[concept(coding(SNOMED, "385093006", "Community acquired pneumonia"))],
    )


# --- a document ---------------------------------------------------------------------------------------------

LETTER = (
    """DISCHARGE LETTER (test document, invented patient)

Patient: Zoe Testperson, born 1968-04-11, record TEST-0000017
Stay: 2025-02-20 to 2025-02-24, Example Clinic, internal ward

Diagnoses
 1. Community acquired pneumonia, right lower lobe (J18.9)
 2. Type 2 diabetes mellitus (E11.9)
 3. Essential hypertension (I10)
Allergy: penicillin (urticaria, 1999)

History
The patient came to the emergency department on the evening of 20 February with fever
since two days, productive cough and shortness of breath on climbing one flight of
stairs. No chest pain, no recent travel, no contact with known tuberculosis. Smoked
until 2009, about 15 pack years. Takes metformin and lisinopril.

Findings at admission
Temperature 39.2 Cel, pulse 112 a minute, blood pressure 138/84, oxygen saturation
91 % on room air. Crackles over the right lower lung field. Leukocytes 16.8 10*3/uL,
C-reactive protein 164 mg/L, haemoglobin 13.1 g/dL, platelets 287 10*3/uL. Chest
X-ray: consolidation of the right lower lobe, no effusion. Electrocardiogram: sinus
tachycardia, otherwise normal.
""",
    """Course
Because of the allergy to penicillin the patient was treated with doxycycline 100 mg
twice a day. Oxygen by nasal cannula at 2 L/min for 36 hours. The fever fell on the
second day; C-reactive protein was 61 mg/L on 23 February. Blood glucose was between
140 and 210 mg/dL under metformin, which was continued without a break.

Medication at discharge
 - doxycycline 100 mg, 1-0-1, until 27 February
 - metformin 500 mg, 1-0-1 with meals
 - lisinopril 10 mg, 1-0-0

Recommendations
 - visit to the general practitioner within one week
 - chest X-ray after six weeks, since the patient has smoked
 - pneumococcal vaccination after recovery
 - HbA1c was 7.9 % in January: review of the diabetes treatment in spring

The patient has been told to come back at once if the fever returns or breathing
becomes harder. She agreed that this letter is sent to Dr. Wu.

Dr. Jonas Lee
Example Clinic, 24 February 2025
""",
)


def pdf(pages: tuple[str, ...]) -> bytes:
    """A plain PDF 1.4 file with one page of 10-point Courier for each text."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        escaped = page.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        shown = "".join(f"({line}) Tj T*\n" for line in escaped.splitlines())
        content = f"BT /F1 10 Tf 13 TL 40 800 Td\n{shown}ET"
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream".encode("cp1252"))
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def document() -> Json:
    letter = pdf(LETTER)
    return resource(
        "DocumentReference", "discharge-letter", "Discharge letter of 24 February 2025",
        "2025-02-24T11:20:00.000+01:00",
        identifier=identifier("8", "DOC-20250224-02"),
        status="current",
        docStatus="final",
        type=concept(coding(LOINC, "18842-5", "Discharge summary")),
        subject=PATIENT,
        date="2025-02-24T11:20:00.000+01:00",
        author=[LEE],
        custodian=CLINIC,
        content=[{"attachment": {
            "contentType": "application/pdf",
            "language": "en",
            "data": base64.b64encode(letter).decode(),
            "size": len(letter),
            # FHIR R4 fixes SHA-1 for this field. Nothing in medchain relies on it.
            "hash": base64.b64encode(hashlib.sha1(letter, usedforsecurity=False).digest()).decode(),
            "title": "Discharge letter",
            "creation": "2025-02-24T11:20:00+01:00",
        }}],
        context={"encounter": [ref("admission")],
                 "period": {"start": "2025-02-20T21:15:00+01:00", "end": "2025-02-24T11:30:00+01:00"}},
    )


# --- the bundle ---------------------------------------------------------------------------------------------


def build() -> Json:
    """The bundle as plain values, resources in the order in which a reader would want them."""
    resources = [
        *people(), *encounters(), *conditions(), allergy(), *observations(), *medications(), *immunizations(),
        procedure(), *reports(), document(),
    ]
    return {
        "resourceType": "Bundle",
        "id": str(uuid.uuid5(NAMESPACE, "bundle")),
        "meta": {"security": [coding(f"{TERMINOLOGY}/v3-ActReason", "HTEST", "test health data")]},
        "type": "collection",
        "timestamp": "2025-04-15T12:00:00.000+02:00",
        "entry": [{"fullUrl": f"urn:uuid:{item['id']}", "resource": item} for item in resources],
    }


def render() -> bytes:
    """The exact bytes of bundle.json."""
    return json.dumps(build(), ensure_ascii=False, indent=1).encode() + b"\n"


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        return int(not OUTPUT.exists() or OUTPUT.read_bytes() != render())
    if arguments:
        print("usage: make_bundle.py [--check]", file=sys.stderr)
        return 2
    OUTPUT.write_bytes(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
