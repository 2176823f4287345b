"""Exports of other programs, as these programs write them: headings, words, times."""

import pytest

FLAGS = ("--source", "web", "--stream", "newsletter")
CONSENT = ("--basis", "newsletter-form", "--at", "2024-01-01")


@pytest.fixture(autouse=True)
def _source(site):
    site.add_source("web", "--streams", "newsletter,club")


# program, options, and its export: `in` agreed, `out` left, `bad` the program itself does not mail
EXPORTS = [
    (
        "mailchimp",
        ("--basis", "double-opt-in"),
        (
            '"Email Address","First Name",MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,'
            "LATITUDE,GMTOFF,LAST_CHANGED,LEID,EUID,NOTES,TAGS,UNSUB_TIME,CLEAN_TIME\n"
            'in@kund.example,Anna,2,"2024-01-01 10:00:00",192.0.2.1,"2024-01-01 10:05:00",192.0.2.1,'
            ',,"2024-02-01 10:00:00",1,ab12,,"""vip""",,\n'
            'out@kund.example,Bo,2,"2024-01-01 10:00:00",,"2024-01-01 10:05:00",,,,,2,cd34,,,'
            '"2024-03-01 08:00:00",\n'
            'bad@kund.example,Cy,1,"2024-01-01 10:00:00",,"2024-01-01 10:05:00",,,,,3,ef56,,,,'
            '"2024-03-01 08:00:00"\n'
        ),
    ),
    (
        "brevo",
        CONSENT,
        (
            "CONTACT ID;EMAIL;FIRSTNAME;SMS;EMAIL_BLACKLISTED;ADDED_TIME;MODIFIED_TIME\n"
            "1;in@kund.example;Anna;;No;01-01-2024 10:00:00;01-02-2024 10:00:00\n"
            "2;out@kund.example;Bo;;Yes;01-01-2024 10:00:00;01-02-2024 10:00:00\n"
        ),
    ),
    (
        "hubspot",
        CONSENT,
        (
            'Record ID,First Name,Email,"Unsubscribed from all email","Email hard bounce reason",'
            '"Create Date","Legal basis for processing contact\'s data"\n'
            '101,Anna,in@kund.example,,,"2024-01-01 10:00",Freely given consent\n'
            '102,Bo,out@kund.example,true,,"2024-01-01 10:00",\n'
            '103,Cy,bad@kund.example,,"Unknown user","2024-01-01 10:00",\n'
        ),
    ),
    (
        "superoffice",
        ("--basis", "newsletter-form"),
        (
            "Contact ID;E-mail;No mailings;E-marketing;Consent date;Consent comment\n"
            "1;in@kund.example;False;Yes;01.03.2024 09:30;Ticked at the counter\n"
            "2;out@kund.example;True;Yes;01.03.2024 09:30;\n"
            "3;bad@kund.example;False;No;01.03.2024;\n"
        ),
    ),
    (
        "listmonk",
        ("--basis", "newsletter-form", "--map", "event_at=created_at"),
        (
            "uuid,email,name,attributes,status,created_at,updated_at\n"
            '0b1c,in@kund.example,Anna,"{""city"":""Lund""}",enabled,'
            "2024-03-01 09:30:00.123456 +0000 UTC,2024-03-02 09:30:00.1 +0000 UTC\n"
            '0b1d,out@kund.example,Bo,"{}",blocklisted,2024-03-01 09:30:00.1 +0000 UTC,\n'
            '0b1e,bad@kund.example,Cy,"{}",disabled,2024-03-01 09:30:00.1 +0000 UTC,\n'
        ),
    ),
    (
        "mautic",
        CONSENT,
        (
            "id,email,firstname,last_active,points,doNotEmail\n"
            '1,in@kund.example,Anna,"2024-03-01 09:30:00",5,0\n'
            "2,out@kund.example,Bo,,0,1\n"
        ),
    ),
    (
        "phplist",
        CONSENT,
        (
            '"id"\t"email"\t"confirmed"\t"blacklisted"\t"optedin"\t"entered"\t"modified"\t"htmlemail"\t'
            '"disabled"\n'
            '1\t"in@kund.example"\t1\t0\t0\t"2024-03-01 09:30:00"\t"2024-03-02 09:30:00"\t1\t0\n'
            '2\t"out@kund.example"\t1\t1\t0\t"2024-03-01 09:30:00"\t"0000-00-00 00:00:00"\t1\t0\n'
            '3\t"bad@kund.example"\t0\t0\t0\t"2024-03-01 09:30:00"\t"2024-03-02 09:30:00"\t1\t0\n'
        ),
    ),
]


@pytest.mark.parametrize(("program", "options", "text"), EXPORTS, ids=lambda one: str(one)[:12])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
def test_an_export_as_the_program_writes_it(site, program, options, text, mark):
    file = site.file("export.csv", mark + text)
    refused = "bad@" in text
    for _ in range(2):  # twice is once
        answer = site.run("consent", "import", file, *FLAGS, "--preset", program, *options)
        assert answer.status == (1 if refused else 0), answer
        assert site.standing("in@kund.example")["verdict"] == "deliver"
        assert site.standing("out@kund.example")["reason"] == "withdrawn"
        assert site.kinds("in@kund.example") == ["granted"]
        assert site.kinds("bad@kund.example") == []
    assert f"refused: {1 if refused else 0}" in answer.out + "refused: 0"


def test_times_of_an_export_are_the_acts(site):
    export = {program: (options, text) for program, options, text in EXPORTS}
    seen = {}
    for program in ("mailchimp", "superoffice", "listmonk"):
        options, text = export[program]
        file = site.file("export.csv", text.replace("in@", f"{program}@"))
        site.run("consent", "import", file, *FLAGS, "--preset", program, *options)
        seen[program] = site.standing(f"{program}@kund.example")["since"]
    assert seen == {
        "mailchimp": "2024-01-01T10:05:00.000Z",
        "superoffice": "2024-03-01T09:30:00.000Z",
        "listmonk": "2024-03-01T09:30:00.123Z",
    }
