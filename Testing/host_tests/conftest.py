"""The host's own tests run in the host."""

from host.fixtures import *  # noqa: F403
