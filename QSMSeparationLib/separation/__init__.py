"""Source separation: {local field, net chi, R2' or R2*} to chi+ and chi-. One file a method."""
