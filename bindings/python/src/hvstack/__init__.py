# SPDX-License-Identifier: MIT
"""libhvstack from Python: hvstack.management talks to the management socket of a machine,
hvstack.loopback has host and guest of VMBus in this process, for tests of drivers and devices."""
