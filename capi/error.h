/* What Go needs of error.c. */
#define NARROW_VERSION "0.1.0"

/* Keeps a copy of text, cut off if it is long, as the thread's last error. */
void narrow_set_error(char *text);
