"""Pages: the files that their look rests on are there, and fit to be shown to strangers.

In: settings. Out: complaints.

*Fails:* never; checks yield complaints.
*Known limits:* what is in the templates of one's own is checked where they are read.
"""

from collections.abc import Iterator
from pathlib import Path

from gatepost.config.explain import Complaint
from gatepost.config.settings import Settings
from gatepost.mail.picture import picture


def logos_can_be_shown(settings: Settings) -> Iterator[Complaint]:
    """A logo is a picture, small enough, and does nothing but be looked at."""
    for name, sender in settings.senders.items():
        trouble = _why_not_shown(sender.logo) if sender.logo else ""
        if trouble:
            yield Complaint(
                path=("senders", name, "logo"),
                what=trouble,
                cure="give the path of a PNG, JPEG, WebP or plain SVG picture of 256 KB at most",
            )


def templates_are_in_a_folder(settings: Settings) -> Iterator[Complaint]:
    """The folder of one's own templates is one."""
    folder = settings.pages.templates
    if folder is not None and not folder.is_dir():
        yield Complaint(
            path=("pages", "templates"),
            what="there is no such folder",
            cure='make it, laid out like the shipped templates, or write ""',
        )


def _why_not_shown(path: Path) -> str:
    try:
        picture(path.read_bytes())
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    except ValueError as error:
        return f"the picture {error}"
    return ""
