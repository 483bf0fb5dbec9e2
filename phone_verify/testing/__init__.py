"""Test support for this library and for sites: a manual clock, a transport with canned responses,
the test suites for drivers and stores, and for the tests of a site an outbox, handsets and a pytest
plugin.
"""
