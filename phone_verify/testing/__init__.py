"""For tests, ours and yours: a clock that is moved by hand, a transport that answers from a list, and the suites
that every driver and every store must pass."""
