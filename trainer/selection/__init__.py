"""Which model suits a data set, by synthetic defects in ok images that it has not learnt from."""
