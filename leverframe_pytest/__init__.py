"""The pytest plugin: writes down every attempt, and keeps quarantined failures from failing the build.

It needs nothing but pytest and the standard library, so a repository can install it without the rest.
"""
