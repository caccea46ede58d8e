"""Defects that are made of ok pictures, where no real ones are at hand."""
