/* What Go needs of error.c. */
#define NARROW_VERSION "0.1.0"

/* Makes text, which malloc gave, the thread's last error and owns it. */
void narrow_set_error(char *text);
