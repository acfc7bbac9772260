#include <string.h>

#include "error.h"

static _Thread_local char message[2048];

void narrow_set_error(char *text) {
  strncpy(message, text, sizeof message - 1);
}

const char *narrow_error(void) { return message; }

const char *narrow_version(void) { return NARROW_VERSION; }
