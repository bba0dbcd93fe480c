"""From echoes to maps: mask, total field, local field, R2*, R2, R2'; and checks of the data."""
