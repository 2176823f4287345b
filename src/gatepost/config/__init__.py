"""config.toml → frozen settings; all errors at once.

`load` reads and checks, `find` says which file, `sample` is the file that ships. One
definition per setting (`gateway`, `parties`) gives parser, bounds, default, help and sample.
Only `app` and `cli` see this package: the rooms get arguments, and nouns from `to_streams`,
`to_senders`, `to_clients` and `to_bases`.

*Fails:* `ConfigErrors`, which holds every `ConfigError` with key, value, cure and line.
"""

from gatepost.config.errors import ConfigError, ConfigErrors
from gatepost.config.loading import find, load
from gatepost.config.nouns import to_bases, to_clients, to_placeholders, to_senders, to_streams
from gatepost.config.reference import reference
from gatepost.config.sample import sample, write_sample
from gatepost.config.settings import Settings

__all__ = [
    "ConfigError",
    "ConfigErrors",
    "Settings",
    "find",
    "load",
    "reference",
    "sample",
    "to_bases",
    "to_clients",
    "to_placeholders",
    "to_senders",
    "to_streams",
    "write_sample",
]
