"""A module for each protection that a campaign must miss when it is off; `install` puts the mutation into this process."""
