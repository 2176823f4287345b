"""The only place where everything meets: config in, rooms wired, signals handled.

`gateway` assembles one process, `composing` makes copies ready, `housekeeping` does what must
be done every now and then, `serving` runs it all as a program, `texts` holds templates and
translations.
"""
