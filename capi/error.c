#include <pthread.h>
#include <stdlib.h>

#include "error.h"

/* The message belongs to its thread and goes with it. A thread-local array
 * would be simpler, but the loader has little room for those of libraries that
 * are loaded late. */
static pthread_key_t message;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void) { pthread_key_create(&message, free); }

void narrow_set_error(char *text) {
  pthread_once(&once, make_key);
  free(pthread_getspecific(message));
  pthread_setspecific(message, text);
}

const char *narrow_error(void) {
  pthread_once(&once, make_key);
  const char *text = pthread_getspecific(message);
  return text ? text : "";
}

const char *narrow_version(void) { return NARROW_VERSION; }
