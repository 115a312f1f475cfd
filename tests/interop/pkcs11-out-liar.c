/*
 * A PKCS#11 module in front of another one, that says of any function what its control file tells it to. For tests only.
 * A line of that file is FUNCTION MODE VALUE SKIP COUNT: the place in CK_FUNCTION_LIST, what to do, a hexadecimal number for it,
 * how many calls to leave alone first, and how many to do it to (-1: all). The modes are below.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

typedef unsigned long CK_ULONG;
typedef CK_ULONG (*function)();
struct list {
  unsigned char version[2];
  function call[68];
};
enum { FIND_OBJECTS = 27, WRAP_KEY = 60, ROOM = 4096 };

static struct list *real, own;

/* Whether the file says something of this call; takes one off its counts. */
static int told(int place, char *mode, CK_ULONG *value) {
  char text[ROOM], rest[ROOM] = "", *state;
  int file = open(getenv("LIAR_CONTROL"), O_RDWR), hit = 0, changed = 0;
  if (file < 0) return 0;
  flock(file, LOCK_EX);
  ssize_t length = read(file, text, ROOM - 1);
  text[length < 0 ? 0 : length] = 0;
  for (char *line = strtok_r(text, "\n", &state); line != NULL; line = strtok_r(NULL, "\n", &state)) {
    int at;
    char what;
    CK_ULONG number;
    long skip, left;
    if (sscanf(line, "%d %c %lx %ld %ld", &at, &what, &number, &skip, &left) != 5) continue;
    if (at == place && !hit && left != 0) {
      changed = 1;
      if (skip > 0) skip--;
      else {
        hit = 1;
        *mode = what;
        *value = number;
        if (left > 0) left--;
      }
    }
    snprintf(rest + strlen(rest), ROOM - strlen(rest), "%d %c %lx %ld %ld\n", at, what, number, skip, left);
  }
  if (changed && (ftruncate(file, 0) != 0 || pwrite(file, rest, strlen(rest), 0) < 0)) abort();
  close(file);
  return hit;
}

static void count(int place) {
  FILE *file = fopen(getenv("LIAR_COUNTS"), "a");
  if (file == NULL) return;
  fprintf(file, "%d\n", place);
  fclose(file);
}

static CK_ULONG call(int place, CK_ULONG *a) {
  char mode = 0;
  CK_ULONG value = 0, rv;
  function next = real->call[place];
  count(place);
  if (!told(place, &mode, &value)) return next(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  if (mode == 'r') return value; /* returns it, and does nothing */
  rv = next(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  switch (mode) {
    case 'R': return value; /* does it, and returns this all the same */
    case 'K': abort();      /* does it, and dies before it says so */
    case 'l':               /* does it, and calls the result so long */
      if (rv == 0) *(CK_ULONG *)a[place == WRAP_KEY ? 5 : 4] = value;
      return rv;
    case 'd': /* names the first object found twice */
      if (rv == 0 && place == FIND_OBJECTS && *(CK_ULONG *)a[3] > 0 && *(CK_ULONG *)a[3] < a[2]) {
        CK_ULONG *found = (CK_ULONG *)a[1];
        found[(*(CK_ULONG *)a[3])++] = found[0];
      }
      return rv;
    default: return rv;
  }
}

#define EACH(_) _(6) _(18) _(22) _(24) _(27) _(34) _(43) _(58) _(59) _(60) _(61) _(64)
#define DEFINE(place) \
  static CK_ULONG call##place(CK_ULONG a, CK_ULONG b, CK_ULONG c, CK_ULONG d, CK_ULONG e, CK_ULONG f, CK_ULONG g, CK_ULONG h) { \
    CK_ULONG all[] = {a, b, c, d, e, f, g, h}; \
    return call(place, all); \
  }
#define TAKE(place) own.call[place] = (function)call##place;
EACH(DEFINE)

CK_ULONG C_GetFunctionList(struct list **functions) {
  void *library = dlopen(getenv("LIAR_TARGET"), RTLD_NOW | RTLD_LOCAL);
  CK_ULONG (*get)(struct list **) = library == NULL ? NULL : (CK_ULONG(*)(struct list **))dlsym(library, "C_GetFunctionList");
  if (get == NULL || get(&real) != 0) return 5;
  own = *real;
  EACH(TAKE)
  *functions = &own;
  return 0;
}
