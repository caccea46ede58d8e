"""`trainer check`: facts about images before a fit, what looks odd, what a fit would refuse, and the contact sheet."""
