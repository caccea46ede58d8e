"""Finds the model that suits a data set, with synthetic defects in ok images that it has not learnt from."""
