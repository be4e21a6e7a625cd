"""Test reports from outside, read without trusting them: bytes in, a report and what is wrong with it out."""
