"""Rules switched off by hand, each to see its test fail: `make mutate`."""
