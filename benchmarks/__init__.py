"""What the guard costs, against bare training and against other monitors."""
