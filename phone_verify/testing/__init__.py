"""For tests, ours and yours: a clock that is moved by hand, a transport that answers from a list, the suites that every
driver and every store must pass, and for the tests of a site an outbox, handsets and a pytest plugin."""
