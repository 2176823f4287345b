"""What is raised for templates that cannot be used, where all that read them find it."""


class TextsError(Exception):
    """The templates cannot be used; the message names the file and what is wrong with it."""
