"""The checks, a module for each kind of stranger. `check` puts a function, whose name is a sentence, on the list."""

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function
