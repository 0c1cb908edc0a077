"""Bytes to lines and messages, and back: plain functions, so plain pytest, tables and Hypothesis."""
