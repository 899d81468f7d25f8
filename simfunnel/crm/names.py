"""Which column means what, and which stage name means won or lost: lists to add to, no code.

Names are compared in their normal form: lower case, letters and digits only (`Close Date`, `close_date` and
`CloseDate` are one name). Where a file has several columns for one meaning, the first alias listed here wins.
"""

from __future__ import annotations

import re


def normal(name: object) -> str:
    """A name's letters and digits in lower case.

    >>> normal("Close_Date "), normal("Opportunity ID")
    ('closedate', 'opportunityid')
    """
    return "".join(letter for letter in str(name).casefold() if letter.isalnum())


# fmt: off
# What a deal is made of -> names seen in exports, in normal form, the most telling first.
ALIASES: dict[str, tuple[str, ...]] = {
    "id": (
        "opportunityid", "dealid", "hsobjectid", "recordid", "potentialid", "leadid", "mqlid",
        "opportunitynumber", "dealnumber", "id",
    ),
    "created": (
        "createddate", "createdate", "propertycreatedate", "engagedate", "createdon", "createdat",
        "createdtime", "dealcreated", "datecreated", "creationdate", "created", "opendate", "opened",
        "openedat", "addtime", "startdate", "firstcontactdate", "firstcontact", "datefirstcontact", "leadcreated",
        "leaddate", "contactdate", "inquirydate",
    ),
    "closed": (
        "actualclosedate", "closedate", "propertyclosedate", "closeddate", "dealclosedon", "closedat",
        "closedtime", "closingdate", "dateclosed", "closed", "closetime", "enddate",
    ),
    "stage": (
        "stagename", "dealstage", "propertydealstage", "stage", "opportunitystage", "salesstage",
        "pipelinestage", "dealpipelinestageid", "stageid",
    ),
    "outcome": ("outcome", "status", "dealstatus", "opportunitystatus", "result", "statecode"),
    "is_closed": ("isclosed", "hsisclosed", "propertyhsisclosed"),
    "is_won": ("iswon", "hsisclosedwon", "propertyhsisclosedwon", "isclosedwon", "closedwon", "won"),
    "is_lost": ("islost", "hsisclosedlost", "propertyhsisclosedlost", "isclosedlost", "closedlost", "lost"),
    "value": (
        "actualvalue", "closevalue", "amount", "propertyamount", "dealamount", "dealvalue", "value",
        "opportunityamount", "estimatedvalue", "revenue", "acv", "arr",
    ),
    "owner": (
        "ownername", "opportunityowner", "dealowner", "salesagent", "salesrep", "ownerid", "owner",
        "hubspotownerid", "propertyhubspotownerid", "rep", "seller", "accountexecutive", "assignedto",
        "salesperson", "srid", "sdrid", "accountmanager", "salesowner",
    ),
    "deleted": ("isdeleted", "deleted", "fivetrandeleted"),
    "modified": (
        "lastmodifieddate", "hslastmodifieddate", "propertyhslastmodifieddate", "lastmodifiedon", "modifiedon",
        "modifiedat", "modifieddate", "modifiedtime", "datemodified", "lastmodified", "lastmodifiedtime", "updatedat",
        "updatedate", "updatetime", "lastupdated", "lastupdateddate", "systemmodstamp",
    ),
    "won_on": ("wondate", "wontime", "wonat", "wonon", "datewon", "converteddate", "conversiondate"),
    "lost_on": ("lostdate", "losttime", "lostat", "loston", "datelost"),
    "currency": ("currencyisocode", "dealcurrencycode", "propertydealcurrencycode", "currencycode", "currency"),
    "category": (
        "forecastcategoryname", "forecastcategory", "hsmanualforecastcategory", "propertyhsmanualforecastcategory",
        "hsforecastcategory",
    ),
    "channel": (
        "leadsource", "propertyleadsource", "originalsource", "originalsourcetype", "hsanalyticssource",
        "propertyhsanalyticssource", "hsobjectsourcelabel", "acquisitionchannel", "marketingchannel", "channel",
        "dealsource", "propertysource", "opportunitysource", "trafficsource", "utmsource", "origin", "source",
    ),
    "brought_by": (
        "broughtby", "broughtbyid", "referredby", "referredbyid", "referredbydeal", "referredbydealid",
        "referredbyleadid", "referrerid", "referringcustomerid", "recruitedby", "recruiterid", "recruiter",
        "introducedby", "introducedbyid",
    ),
}

# What a row of a log of events is made of; the case's own columns are told from the rest by never changing.
EVENTS: dict[str, tuple[str, ...]] = {
    "case": (
        "caseconceptname", "caseid", "case", "caseidentifier", "casenumber", "traceid", "trace", "applicationid",
        "processinstance", "processinstanceid", "dealid", "opportunityid", "leadid",
    ),
    "activity": ("conceptname", "activity", "activityname", "eventname", "event", "taskname", "task"),
    "member": (
        "orgresource", "resource", "resourcename", "user", "username", "agent", "employee", "performer", "worker",
        "owner", "ownername", "ownerid", "assignedto", "person",
    ),
    "start": (
        "starttimestamp", "timestart", "starttime", "startedat", "started", "start", "begintime", "begin", "startdate",
    ),
    "end": (
        "completetimestamp", "endtimestamp", "timetimestamp", "timecomplete", "endtime", "endedat", "end",
        "completetime", "completedat", "completed", "finishedat", "timestamp", "eventtimestamp", "eventtime",
        "datetime", "time", "eventdate", "enddate", "date",
    ),
    "lifecycle": ("lifecycletransition", "lifecycle", "transition", "eventtype"),
    "value": (
        "caseamountreq", "amountreq", "caserequestedamount", "requestedamount", "amountrequested", "loanamount",
        "caseamount", "amount", "casevalue", "value",
    ),
}

# Tables that say how a deal changed: what it was from a moment on, or one field's old and new value.
CHANGES: dict[str, tuple[str, ...]] = {
    "id": ("opportunityid", "dealid", "potentialid", "leadid", "parentid", "recordid", "hsobjectid", "objectid"),
    "row": ("opportunityhistorykey", "id", "createdbyid"),
    "at": (
        "dateentered", "enteredat", "enteredon", "dateentry", "stageentered", "stageentereddate", "stagechangedate",
        "changedate", "changedat", "changedon", "changetimestamp", "editdate", "modifiedtime",
    ),
    "saved": ("createddate", "timestamp", "createdat", "systemmodstamp", "lastmodifieddate"),
    "field": ("field", "fieldname", "fieldevent", "name", "property", "propertyname"),
    "old": ("oldvalue", "old", "fromstage", "oldstage", "previousstage"),
    "new": ("newvalue", "new", "tostage", "newstage"),
    "to": ("value", "newvalue", "propertyvalue"),
    "snapshot": (
        "snapshotdate", "snapshot", "asofdate", "asof", "reportdate", "extractdate", "exportdate", "weekending",
        "snapshotweek", "snapshotmonth", "snapshotquarter", "fivetranstart", "validfrom", "dbtvalidfrom",
    ),
}

SINCE = ("fivetranstart", "validfrom", "dbtvalidfrom")  # columns of snapshots that say from when on a row is true

# What a member did for a deal.
TASKS: dict[str, tuple[str, ...]] = {
    "id": ("whatid", "opportunityid", "dealid", "relatedtoid", "relatedto"),
    "activity": (
        "tasksubtype", "activitytype", "hsactivitytype", "propertyhsactivitytype", "engagementtype",
        "hsengagementtype", "propertyhsengagementtype", "tasktype", "type", "eventsubtype",
    ),
    "subject": ("subject",),  # free text, unless there are few of them
    "member": (
        "ownerid", "ownername", "owner", "assignedto", "userid", "hubspotownerid", "propertyhubspotownerid",
    ),
    "start": (
        "starttime", "startdatetime", "startedat", "start", "hsmeetingstarttime", "propertyhsmeetingstarttime",
        "activitydatetime", "hstimestamp", "propertyhstimestamp",
    ),
    "end": ("endtime", "enddatetime", "endedat", "end", "hsmeetingendtime", "propertyhsmeetingendtime"),
    # A to-do's life is no work: these are used where a length is told besides.
    "noted": ("completeddatetime", "createddate", "hscreatedate", "propertyhscreatedate", "activitydate"),
    "milliseconds": ("hscallduration", "propertyhscallduration"),
    "seconds": ("calldurationinseconds", "durationseconds", "durationinseconds"),
    "minutes": ("durationinminutes", "durationminutes", "minutes"),
    "deleted": ("isdeleted", "deleted", "fivetrandeleted"),
    "modified": (
        "lastmodifieddate", "hslastmodifieddate", "propertyhslastmodifieddate", "lastmodifiedon", "modifiedon",
        "modifiedat", "modifieddate", "modifiedtime", "datemodified", "lastmodified", "lastmodifiedtime", "updatedat",
        "updatedate", "updatetime", "lastupdated", "lastupdateddate", "systemmodstamp",
    ),
}

# Tables of names: of stages, and of people.
STAGES: dict[str, tuple[str, ...]] = {
    "id": ("stageid", "dealpipelinestageid", "apiname", "masterlabel"),
    "label": ("label", "masterlabel", "stagelabel", "stagename"),
    "is_closed": ("isclosed", "closed"),
    "is_won": ("closedwon", "iswon", "won"),
    "order": ("displayorder", "sortorder"),
    "pipeline": ("pipelineid",),
    "probability": ("probability", "defaultprobability"),
}
PEOPLE: dict[str, tuple[str, ...]] = {
    "id": ("ownerid", "userid", "id"),
    "name": ("name", "fullname", "ownername"),
    "first": ("firstname",),
    "last": ("lastname",),
    "mail": ("email", "username"),
}

# Fields whose changes a history of fields may tell -> the part of a deal that they are.
FIELDS: dict[str, str] = {
    "stagename": "stage", "stage": "stage", "dealstage": "stage", "amount": "value", "owner": "owner",
    "ownerid": "owner", "hubspotownerid": "owner", "forecastcategoryname": "category", "forecastcategory": "category",
    "hsmanualforecastcategory": "category",
}

FORECAST_CATEGORIES = {
    "commit": "commit", "forecast": "commit", "committed": "commit", "bestcase": "best case", "upside": "best case",
    "mostlikely": "best case", "pipeline": "pipeline", "omitted": "omitted", "omit": "omitted",
    "notforecasted": "omitted", "closed": "closed", "closedwon": "closed",
}

REQUIRED = {
    "created": "the day the deal was created",
    "closed": "the day it was won or lost, empty while it is open (or `won_on`, `lost_on`)",
    "stage": "the stage's name (or `outcome`, `is_won` and `is_closed`)",
}

# Columns that say how things stand today, or repeat the outcome: never an attribute of a new deal.
NEVER_ATTRIBUTES = frozenset({
    "forecastcategory", "forecastcategoryname", "probability", "expectedrevenue", "fiscal",
    "fiscalquarter", "fiscalyear", "hasopenactivity", "hasoverduetask", "hasopportunitylineitem",
    "isexcludedfromterritory2filter", "nextstep", "lossreason", "lostreason", "closedlostreason",
    "closedwonreason", "winreason", "portalid", "currency",
})

# Outcome -> stage names and outcome words, in normal form, in a few languages.
OUTCOME_NAMES: dict[str, frozenset[str]] = {
    "won": frozenset({
        "won", "closedwon", "win", "closewon", "dealwon", "wonclosed", "wondeal", "customer", "signed",
        "success", "gewonnen", "gagné", "gagnée", "ganado", "ganada", "ganho", "vinto", "vinta", "vunnen",
        "выиграна", "успешно", "赢单", "成交", "已成交", "受注",
    }),
    "lost": frozenset({
        "lost", "closedlost", "loss", "closelost", "deallost", "lostclosed", "lostdeal", "lose", "dead",
        "abandoned", "cancelled", "canceled", "rejected", "declined", "disqualified", "unqualified",
        "verloren", "perdu", "perdue", "perdido", "perdida", "perso", "persa", "förlorad", "проиграна", "输单",
        "丢单", "失注",
    }),
}
# Words of an activity's name that may mean an end; whether it is one, its place at the end of cases says.
END_WORDS: dict[str, frozenset[str]] = {
    "lost": frozenset({
        "declined", "decline", "declines", "denied", "deny", "rejected", "reject", "rejects", "rejection", "refused",
        "refuse", "cancelled", "canceled", "cancel", "cancels", "cancellation", "withdrawn", "withdraw", "lost",
        "abandoned", "expired", "disqualified", "abgelehnt", "storniert", "refusé", "annulé",
    }),
    "won": frozenset({
        "approved", "approve", "approves", "approval", "activated", "activate", "registered", "accepted", "accept",
        "accepts", "acceptance", "won", "signed", "sign", "funded", "disbursed", "disburse", "granted", "grant",
        "pending", "booked", "ordered", "purchased", "sold", "genehmigt", "bewilligt", "approuvé", "accepté",
    }),
}
# fmt: on
_WORDS = {"won": {"won"}, "lost": {"lost"}}  # as one word of a longer name: `6 - Closed Won`, `Lost (price)`


def outcome_named(name: object) -> str:
    """'won', 'lost' or 'open', from what a stage or an outcome is called.

    >>> outcome_named("6 - Closed Won"), outcome_named("Closed_Lost"), outcome_named("Negotiation")
    ('won', 'lost', 'open')
    """
    words = set(re.findall(r"[^\W\d_]+", str(name).casefold().replace("'", "").replace("’", "")))
    for outcome, names in OUTCOME_NAMES.items():
        if normal(name) in names or words & _WORDS[outcome]:
            return outcome
    return "open"


def truth(text: object) -> bool:
    """Whether a flag's text says yes."""
    return str(text).strip().casefold() in {"true", "1", "1.0", "yes", "y", "t", "x", "ja", "oui", "sí", "si", "wahr"}


def end_named(activity: object) -> str:
    """'won', 'lost' or 'open', from what an activity of a log is called; see `END_WORDS`.

    >>> end_named("A_DECLINED"), end_named("Approve application"), end_named("W_Call after offers")
    ('lost', 'won', 'open')
    """
    words = set(re.findall(r"[^\W\d_]+", str(activity).casefold()))
    return next((end for end, said in END_WORDS.items() if words & said), outcome_named(activity))
